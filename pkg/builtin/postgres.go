package builtin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
)

type postgresConfig struct {
	URL      string   `json:"url"`
	Channels []string `json:"channels"`
}

// listenPostgres reports notifications. PostgreSQL keeps none for a listener that is away, so after a connection was
// lost it says that some may have been missed.
func listenPostgres(ctx context.Context, s *stage) error {
	var c postgresConfig
	if err := s.config(&c); err != nil {
		return err
	}
	if url := s.Secrets["POSTGRES_SENSOR_URL"]; url != "" {
		c.URL = url
	}
	if c.URL == "" || len(c.Channels) == 0 {
		return wrong("channels, and url or the secret POSTGRES_SENSOR_URL, are needed")
	}
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return wrong("url is not one of PostgreSQL") // without the cause, which may quote a password
	}
	config.ConnectTimeout = 10 * time.Second
	l := &pgListener{stage: s, config: config, channels: c.Channels}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 100*time.Millisecond, 30*time.Second
	for {
		err := l.listen(ctx, b.Reset)
		if ctx.Err() != nil || errors.Is(err, errEmit) {
			return err
		}
		pause := b.NextBackOff()
		s.say("not listening: %v; next try in %v", err, pause.Round(time.Millisecond))
		if !wait(ctx, pause) {
			return context.Cause(ctx)
		}
	}
}

// errEmit is returned when an event could not be written: nobody reads them any more.
var errEmit = errors.New("events are not read")

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

type pgListener struct {
	*stage
	config   *pgx.ConnConfig
	channels []string
	since    time.Time // when the connection before was lost; zero: there was none
}

// listen reports notifications until the connection breaks.
func (l *pgListener) listen(ctx context.Context, connected func()) error {
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer l.part(conn)
	for _, channel := range l.channels {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return fmt.Errorf("listen on %s: %w", channel, err)
		}
	}
	connected()
	if err := l.reconnected(); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			l.since = time.Now()
			return fmt.Errorf("wait for a notification: %w", err)
		}
		payload := map[string]any{"channel": n.Channel, "payload": jsonOr([]byte(n.Payload)), "pid": n.PID}
		if err := l.emit(found{Trigger: "notification", Payload: payload}); err != nil {
			return fmt.Errorf("%w: %w", errEmit, err)
		}
	}
}

// reconnected says that notifications may have been missed.
func (l *pgListener) reconnected() error {
	l.say("listening on %d channels", len(l.channels))
	if l.since.IsZero() {
		return nil
	}
	payload := map[string]any{"channels": l.channels, "since": l.since.UTC()}
	if err := l.emit(found{Trigger: "reconnected", Payload: payload}); err != nil {
		return fmt.Errorf("%w: %w", errEmit, err)
	}
	return nil
}

func (l *pgListener) part(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it may be broken already
}
