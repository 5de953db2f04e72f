package postgres

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

const (
	maxLine = 4 << 10
	maxTail = 8 // lines kept for the message of a failed start
)

// output passes what the server writes on to the log, line by line, and keeps the last lines.
type output struct {
	log *slog.Logger

	mu   sync.Mutex // guards the fields below
	part []byte     // the beginning of a line
	last []string
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		o.part = append(o.part, line[:min(len(line), maxLine-len(o.part))]...)
		if whole {
			o.emit(string(o.part))
			o.part = o.part[:0]
		}
		rest = after
	}
	return len(p), nil
}

func (o *output) emit(line string) {
	if line == "" {
		return
	}
	o.last = append(o.last, line)
	if len(o.last) > maxTail {
		o.last = o.last[1:]
	}
	o.log.Log(context.Background(), levelOf(line), "PostgreSQL says", slog.String("line", line))
}

// levelOf ranks the server's words by what they mean for Attune: a refused statement is an error that its
// sender gets and reports, so it is not worth a second line here.
func levelOf(line string) slog.Level {
	severity, _, _ := strings.Cut(line, ":")
	switch severity {
	case "PANIC":
		return slog.LevelError
	case "WARNING":
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.last, "; ")
}
