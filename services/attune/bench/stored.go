package main

import (
	"context"
	_ "embed" // for the query
	"errors"
	"fmt"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/postgres"
)

//go:embed clone.sql
var cloneQuery string

// models is how many executions others are made after, and cloned how many of these are made in one statement.
const (
	models = 1000
	cloned = 20_000
)

// history is an instance's database.
type history struct {
	db   *pgx.Conn
	pid  int // of the process that answers us
	next int // number that tells clones of one row apart
}

// openHistory connects to the database of an instance.
func (in *instance) openHistory(ctx context.Context) (*history, error) {
	address, err := postgres.Address(filepath.Join(in.data(), "postgres"))
	if err != nil {
		return nil, err
	}
	db, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connect to the instance's database: %w", err)
	}
	return &history{db: db, pid: int(db.PgConn().PID()), next: 1}, nil
}

func (h *history) close() { _ = h.db.Close(context.Background()) } // nothing was left to write

// stored counts the executions.
func (h *history) stored(ctx context.Context) (n int, err error) {
	return n, h.db.QueryRow(ctx, `SELECT count(*) FROM executions`).Scan(&n)
}

// fill makes executions after those that succeeded, until so many are stored. Statistics are then as if they had been
// kept all the time, and nothing is left to be cleaned up while others measure.
func (h *history) fill(ctx context.Context, want int, say func(string, ...any)) error {
	ids, err := h.models(ctx)
	if err != nil {
		return err
	}
	for {
		have, err := h.stored(ctx)
		if err != nil {
			return err
		}
		times := min(want-have, cloned) / len(ids)
		if times <= 0 {
			break
		}
		if _, err := h.db.Exec(ctx, cloneQuery, ids, h.next, h.next+times-1); err != nil {
			return fmt.Errorf("store more executions: %w", err)
		}
		if h.next += times; have/100_000 != (have+times*len(ids))/100_000 {
			say("%d executions stored", have+times*len(ids))
		}
	}
	for _, table := range []string{"executions", "events", "decisions"} {
		if _, err := h.db.Exec(ctx, "VACUUM (ANALYZE) "+table); err != nil {
			return err
		}
	}
	_, err = h.db.Exec(ctx, "CHECKPOINT")
	return err
}

func (h *history) models(ctx context.Context) ([]string, error) {
	rows, err := h.db.Query(ctx, `SELECT id::text FROM executions WHERE status = 'succeeded' AND event_id IS NOT NULL ORDER BY requested_at DESC LIMIT $1`, models)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(ids) == 0 {
		err = errors.New("no execution to make others after")
	}
	return ids, err
}
