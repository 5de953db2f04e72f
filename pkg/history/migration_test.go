package history_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/attune/attune/migrations"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// unpartitioned is history as it was before it had partitions: of some weeks, and of times that cannot be right.
const unpartitioned = `
INSERT INTO events (id, seq, trigger, status, payload, time, received_at, decided_at, projected)
SELECT md5('e' || n)::uuid, n, 'core.webhook', 'decided', '{"a": 1}', at, at, at, true
FROM (SELECT n, now() - n * interval '60 hours' AS at FROM generate_series(0, 40) AS n) AS made;
INSERT INTO decisions (event_id, rule, outcome, execution_id, action, decided_at)
SELECT md5('e' || n)::uuid, 'core.r', 'matched', md5('x' || n)::uuid, 'core.echo', now() FROM generate_series(0, 40) AS n;
INSERT INTO executions (id, action, pack_digest, status, attempt, changed_at, requested_at, rule, event_id, parameters, started_at, ended_at, result,
    log_bytes, log_settled_at, announced_attempt, stream_epoch, fact_seqs)
SELECT md5('x' || n)::uuid, 'core.echo', 'sha256-ab', 'succeeded', 1, at, at, 'core.r', md5('e' || n)::uuid, '{ "b":2}', at, at, '{"ok":true}', 7, at, 1, 1, '{3,4}'
FROM (SELECT n, CASE n WHEN 40 THEN '1970-01-01' WHEN 39 THEN '2999-01-01' ELSE now() - n * interval '60 hours' END AS at FROM generate_series(0, 40) AS n) AS made;
INSERT INTO executions (id, action, pack_digest, status, attempt, changed_at, requested_at, stream_epoch, fact_seqs)
VALUES (md5('waits')::uuid, 'core.echo', 'sha256-ab', 'requested', 1, now(), now(), 1, '{9}')`

// contents is all that history says.
func contents(t *testing.T, s *history.Store) (all []any) {
	t.Helper()
	for _, e := range pages(t, s, history.ExecutionFilter{}, 7) {
		all = append(all, e)
	}
	events, err := s.ListEvents(t.Context(), history.EventFilter{}, history.Page{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		whole, err := s.Event(t.Context(), e.ID)
		if err != nil || len(whole.Decisions) != 1 {
			t.Fatalf("%+v: %v", whole, err)
		}
		all = append(all, whole)
	}
	return all
}

func TestHistoryOfBeforePartitionsIsKept(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	if _, err := pool.Exec(t.Context(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close() //nolint:errcheck // gives connections back to the pool
	steps, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	migrate := func(do func(context.Context, int64) ([]*goose.MigrationResult, error), version int64) {
		t.Helper()
		if _, err := do(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	migrate(steps.UpTo, 11)
	if _, err := pool.Exec(t.Context(), unpartitioned); err != nil {
		t.Fatal(err)
	}
	sources := steps.ListSources()
	latest := sources[len(sources)-1].Version
	migrate(steps.UpTo, latest)
	s := history.New(pool)
	first := contents(t, s)
	if len(first) != 42+41 {
		t.Errorf("%d rows", len(first))
	}
	checkRows(t, pool)
	migrate(steps.DownTo, 11)
	migrate(steps.UpTo, latest)
	if d := cmp.Diff(first, contents(t, s)); d != "" {
		t.Errorf("after going back and forth: %s", d)
	}

	// What was there goes on: a fact reaches its row, and the table of statuses holds.
	var waits history.Execution
	for _, e := range pages(t, s, history.ExecutionFilter{Statuses: []streams.Status{streams.Requested}}, 5) {
		waits = e
	}
	next := func(status streams.Status) history.FactAt {
		f := waits.Fact()
		f.Status, f.At, f.EndedAt = status, time.Now(), nil
		return history.FactAt{Fact: plausible(f), Seq: 10}
	}
	apply(t, s, next(streams.Running))
	apply(t, s, next(streams.Canceled))
	if got := show(t, s, waits.ID); got.Status != streams.Canceled || !got.RequestedAt.Equal(waits.RequestedAt) {
		t.Errorf("%+v", got)
	}
	if err := s.ApplyFacts(t.Context(), history.FactBatch{Epoch: epoch}, []history.FactAt{next(streams.Failed)}); !history.IsRefusal(err) {
		t.Errorf("a second end: %v", err)
	}
}

// checkRows checks that each row is in the partition of its time, and only those of strange times in the default one.
func checkRows(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT tableoid::regclass::text, count(*) FROM executions GROUP BY 1
		UNION ALL SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1
		UNION ALL SELECT tableoid::regclass::text, count(*) FROM decisions GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stray, tables := 0, 0
	for rows.Next() {
		var table string
		var n int
		if err := rows.Scan(&table, &n); err != nil {
			t.Fatal(err)
		}
		if tables++; table == "executions_default" || table == "events_default" || table == "decisions_default" {
			stray += n
		}
	}
	if err := rows.Err(); err != nil || stray != 2 || tables < 40 {
		t.Errorf("%d rows in default partitions, %d tables: %v", stray, tables, err)
	}
}
