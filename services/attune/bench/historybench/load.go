package historybench

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

//go:embed load.sql
var loadSQL string

const (
	// loadRows is how many executions, with their events, are made by one statement.
	loadRows = 50_000
	loaders  = 2
)

// span of the history that is made.
const spanDays = 30

// load fills history with so many executions, an event and a decision for each, spread evenly over the days before now.
// Indexes are made at the end, which is faster.
func load(ctx context.Context, db *pgxpool.Pool, executions int, now time.Time) error {
	since := now.Add(-spanDays * 24 * time.Hour)
	for at := since; at.Before(now.Add(7 * 24 * time.Hour)); at = at.Add(7 * 24 * time.Hour) {
		if _, err := db.Exec(ctx, "SELECT make_history_partitions($1)", at); err != nil {
			return err
		}
	}
	indexes, err := dropIndexes(ctx, db)
	if err != nil {
		return err
	}
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(loaders)
	for n := 0; n < executions; n += loadRows {
		g.Go(func() error { return loadPart(groupCtx, db, n, min(n+loadRows, executions), executions, since) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	g, groupCtx = errgroup.WithContext(ctx)
	g.SetLimit(loaders)
	for _, table := range []string{"executions", "events"} {
		g.Go(func() error {
			for _, ix := range indexes[table] {
				if _, err := db.Exec(groupCtx, ix); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err = db.Exec(ctx, "VACUUM (ANALYZE) executions, events, decisions")
	return err
}

func loadPart(ctx context.Context, db *pgxpool.Pool, from, to, of int, since time.Time) error {
	step := spanDays * 24 * time.Hour / time.Duration(of)
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		for statement := range strings.SplitSeq(loadSQL, ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if _, err := tx.Exec(ctx, statement, from, to-1, since, step, of); err != nil {
				return fmt.Errorf("load from %d on: %w", from, err)
			}
		}
		return nil
	})
}

// dropIndexes drops the indexes that are not keys, and gives the statements that make them again.
func dropIndexes(ctx context.Context, db *pgxpool.Pool) (map[string][]string, error) {
	rows, err := db.Query(ctx, `SELECT tablename, indexname, replace(indexdef, ' ON ONLY ', ' ON ') FROM pg_indexes
		WHERE tablename IN ('executions', 'events') AND indexname NOT LIKE '%_pkey'`)
	if err != nil {
		return nil, err
	}
	again, names := map[string][]string{}, []string{}
	var table, name, definition string
	if _, err := pgx.ForEachRow(rows, []any{&table, &name, &definition}, func() error {
		again[table], names = append(again[table], definition), append(names, name)
		return nil
	}); err != nil {
		return nil, err
	}
	_, err = db.Exec(ctx, "DROP INDEX "+strings.Join(names, ", "))
	return again, err
}
