package natsserver

import (
	"context"
	"fmt"
	"log/slog"
)

// logger hands the server's words on.
type logger struct {
	log   *slog.Logger
	fatal chan string  // the first fatal word
	fault func(string) // told every error
}

func (l *logger) say(level slog.Level, line string) {
	l.log.Log(context.Background(), level, "NATS server says", slog.String("line", line))
}

// Noticef, and what follows, implement server.Logger.
func (l *logger) Noticef(format string, v ...any) { l.say(slog.LevelDebug, fmt.Sprintf(format, v...)) }

// Warnf passes a warning on.
func (l *logger) Warnf(format string, v ...any) { l.say(slog.LevelWarn, fmt.Sprintf(format, v...)) }

// Errorf passes an error on.
func (l *logger) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.say(slog.LevelError, line)
	l.fault(line)
}

// Debugf and Tracef are never asked for.
func (l *logger) Debugf(string, ...any) {}

// Tracef says nothing.
func (l *logger) Tracef(string, ...any) {}

// Fatalf keeps the text for whoever waits for the server.
func (l *logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
