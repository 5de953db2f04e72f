package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrEnded is returned by Await when the server ended before it answered.
var ErrEnded = errors.New("PostgreSQL ended before it was ready")

// Await returns when the server answers and has Attune's database, which it makes when it is missing.
// ended, which may be nil, is closed when the server has ended.
func (c *Cluster) Await(ctx context.Context, ended <-chan struct{}) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.createDatabase(ctx)
		if err == nil || !isStarting(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w: %w", context.Cause(ctx), err)
		case <-ended:
			return ErrEnded
		case <-tick.C:
		}
	}
}

// isStarting tells errors of a server that is not up yet from those that waiting does not mend.
func isStarting(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "57P03" // cannot_connect_now: starting up or recovering
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect)
}

// createDatabase makes Attune's database unless it is there.
func (c *Cluster) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with this connection
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", Database).Scan(&there); err != nil {
		return fmt.Errorf("look for database %s: %w", Database, err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+Database); err != nil {
		return fmt.Errorf("create database %s: %w", Database, err)
	}
	return nil
}
