package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/postgres"
)

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
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("address of the instance's database: %w", err)
	}
	config.RuntimeParams["max_parallel_workers_per_gather"] = "0" // what helpers take would count as the instance's
	db, err := pgx.ConnectConfig(ctx, config)
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
		if err := h.clone(ctx, ids, h.next, h.next+times-1); err != nil {
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

// changed are the columns of a table that clones do not have from their models: ids are new ones, derived from the old
// and a number, and facts are gone from their stream, as those of old executions are.
type changed struct {
	table, of string // of: which rows are those of the models
	columns   map[string]string
}

var clones = []changed{
	{"events", "id IN (SELECT event_id FROM executions WHERE id = ANY($1::uuid[]))", map[string]string{"id": another("id")}},
	{"decisions", "event_id IN (SELECT event_id FROM executions WHERE id = ANY($1::uuid[]))", map[string]string{
		"event_id": another("event_id"), "execution_id": another("execution_id"),
	}},
	{"executions", "id = ANY($1::uuid[])", map[string]string{"id": another("id"), "event_id": another("event_id"), "fact_seqs": "'{}'"}},
}

func another(id string) string { return "md5(x." + id + "::text || n)::uuid" }

// clone makes a row like each of the models for each number from one to another. Whatever columns there are, they get
// the values of the models.
func (h *history) clone(ctx context.Context, models []string, from, to int) error {
	return pgx.BeginFunc(ctx, h.db, func(tx pgx.Tx) error {
		for _, c := range clones {
			rows, err := tx.Query(ctx, `SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, c.table)
			if err != nil {
				return err
			}
			columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, c.query(columns), models, from, to); err != nil {
				return fmt.Errorf("%s: %w", c.table, err)
			}
		}
		return nil
	})
}

func (c changed) query(columns []string) string {
	values := slices.Clone(columns)
	for i, name := range columns {
		values[i] = "x." + name
		if value, known := c.columns[name]; known {
			values[i] = value
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %[1]s AS x, generate_series($2::int, $3::int) AS n WHERE x.%[4]s",
		c.table, strings.Join(columns, ", "), strings.Join(values, ", "), c.of)
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
