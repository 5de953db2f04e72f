// Package database opens Attune's PostgreSQL and brings its schema up to date.
//
// It guarantees that opening waits, with a growing pause and a word in the log, while the server is not
// there, that a wrong address is told apart from that at once, and that migrations are applied in order,
// each exactly once, even when several processes start together. A schema newer than the program is refused.
package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options are what a service may choose about its connections.
type Options struct {
	Name     string // of the service, shown by PostgreSQL
	MaxConns int32  // 0 means 8
	Logger   *slog.Logger
}

// ErrBadURL is returned when the address of the database cannot be understood.
var ErrBadURL = errors.New("not a valid database URL")

// ErrRefused is returned when the server answers but will not have us: waiting does not mend that.
var ErrRefused = errors.New("the database refuses the connection")

const defaultMaxConns = 8

// Open connects to the database, waiting until it answers or ctx ends.
func Open(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	cfg, err := parse(url, o)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := await(ctx, pool, o.Logger); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// parse keeps the address out of its error: it holds a password.
func parse(url string, o Options) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil || cfg.ConnConfig.Host == "" {
		return nil, fmt.Errorf("database URL (want postgres://user:password@host:port/name): %w", ErrBadURL)
	}
	cfg.MaxConns = o.MaxConns
	if cfg.MaxConns == 0 {
		cfg.MaxConns = defaultMaxConns
	}
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	cfg.ConnConfig.RuntimeParams["application_name"] = "attune " + o.Name
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	return cfg, nil
}

func await(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 5*time.Second
	for {
		err := pool.Ping(ctx)
		if err == nil {
			return nil
		}
		if isRefusal(err) {
			return fmt.Errorf("open database: %w: %w", ErrRefused, err)
		}
		next := pause.NextBackOff()
		log.WarnContext(ctx, "database unreachable, trying again", slog.Any("error", err), slog.Duration("in", next))
		select {
		case <-ctx.Done():
			return fmt.Errorf("open database: %w: %w", context.Cause(ctx), err)
		case <-time.After(next):
		}
	}
}

// isRefusal tells a wrong password, role or database name from a server that is away or starting.
func isRefusal(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "28000", "28P01", "3D000": // invalid authorization, invalid password, no such database
		return true
	}
	return false
}
