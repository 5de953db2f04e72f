package retention_test

import (
	"context"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/retention"
)

const day = 24 * time.Hour

// thursday gives the noon of the Thursday of the week that was so many weeks ago, for which there are partitions.
func thursday(t *testing.T, db *pgxpool.Pool, weeksAgo int) (noon time.Time) {
	t.Helper()
	err := db.QueryRow(t.Context(), `SELECT moment FROM (SELECT (date_trunc('week', now() AT TIME ZONE 'UTC') + interval '3 days 12 hours') AT TIME ZONE 'UTC'
		- $1 * interval '7 days' AS moment) AS m, make_history_partitions(moment)`, weeksAgo).Scan(&noon)
	if err != nil {
		t.Fatal(err)
	}
	return noon
}

// ended is an execution that ran a moment, and came of an event of its own.
func ended(action string, at time.Time, stored int64) row {
	return row{id: uuid.NewString(), action: action, asked: at, ended: at.Add(time.Minute), settled: true, stored: stored, event: uuid.NewString()}
}

// insertWithEvents inserts executions with their events and what was decided about them.
func insertWithEvents(t *testing.T, db *pgxpool.Pool, rows ...row) {
	t.Helper()
	insert(t, db, rows...)
	for _, r := range rows {
		at := r.asked.Add(-time.Second)
		_, err := db.Exec(t.Context(), `INSERT INTO events (id, seq, trigger, status, time, received_at, decided_at, projected) VALUES ($1, 1, 'p.t', 'decided', $2, $2, $2, false)`, r.event, at)
		if err == nil {
			_, err = db.Exec(t.Context(), `INSERT INTO decisions (event_id, event_at, rule, outcome, execution_id, action, decided_at) VALUES ($1, $3, 'p.r', 'matched', $2, 'p.a', $3)`, r.event, r.id, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// left tells what history has: executions, events, and events of which there are decisions.
func left(t *testing.T, db *pgxpool.Pool) (executions, events []string) {
	t.Helper()
	var decided []string
	err := db.QueryRow(t.Context(), `SELECT (SELECT array_agg(id::text ORDER BY id) FROM executions), (SELECT array_agg(id::text ORDER BY id) FROM events),
		(SELECT array_agg(event_id::text ORDER BY event_id) FROM decisions)`).Scan(&executions, &events, &decided)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(events, decided) {
		t.Errorf("events %v, decisions of %v", events, decided)
	}
	return executions, events
}

func checkLeft(t *testing.T, db *pgxpool.Pool, want ...row) {
	t.Helper()
	var wantExecutions, wantEvents []string
	for _, r := range want {
		wantExecutions, wantEvents = append(wantExecutions, r.id), append(wantEvents, r.event)
	}
	slices.Sort(wantExecutions)
	slices.Sort(wantEvents)
	executions, events := left(t, db)
	if d := gocmp.Diff(wantExecutions, executions); d != "" {
		t.Errorf("executions: %s", d)
	}
	if d := gocmp.Diff(wantEvents, events); d != "" {
		t.Errorf("events: %s", d)
	}
}

// sweep makes a dry run, then a sweep, which has to remove the same.
func sweep(t *testing.T, s *retention.Sweeper) retention.Report {
	t.Helper()
	would, err := s.DryRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	did, err := s.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(would, did); d != "" {
		t.Errorf("a dry run and the real one differ: %s", d)
	}
	return did
}

func insertRuleSets(t *testing.T, db *pgxpool.Pool, at ...time.Time) {
	t.Helper()
	for _, x := range at {
		if _, err := db.Exec(t.Context(), `INSERT INTO rule_sets (id, trigger, rules, recorded_at) VALUES ($1, 'p.t', '[]', $2)`, uuid.NewString(), x); err != nil {
			t.Fatal(err)
		}
	}
}

func ruleSets(t *testing.T, db *pgxpool.Pool) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM rule_sets").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// History goes after its logs, by partitions: one of which all may go is dropped. What has to stay keeps its partition,
// from which the rest goes row by row.
func TestHistoryGoesByPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second, third, last := thursday(t, w.db, 30), thursday(t, w.db, 28), thursday(t, w.db, 26), thursday(t, w.db, 10)
	gone := []row{ended("p.a", first, 0), ended("p.a", first, 0), ended("p.a", second, 0), ended("p.a", third, 0), ended("p.a", third, 0)}
	long := ended("p.long", second, 7) // its log is kept for longer than history
	running := row{id: uuid.NewString(), action: "p.a", asked: third, event: uuid.NewString()}
	young := ended("p.a", last, 0)
	strange := ended("p.a", time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC), 0) // in the default partition
	insertWithEvents(t, w.db, append(gone, long, running, young, strange)...)
	w.write(t, long.id)
	insertRuleSets(t, w.db, first, second, last)
	s := &retention.Sweeper{DB: w.db, Bus: w.Bus, Logs: w.logs, Policies: retention.Policies{
		Logs: retention.Policy{Age: 30 * day}, History: 20 * 7 * day, Actions: map[string]retention.Policy{"p.long": {Age: 1000 * day}},
	}}
	r := sweep(t, s)
	if r.Executions != 6 || r.Events != 6 || len(r.Dropped) != 2 || r.Removed.Logs != 0 {
		t.Errorf("swept %+v", r)
	}
	checkLeft(t, w.db, long, running, young)
	if n := ruleSets(t, w.db); n != 2 {
		t.Errorf("%d sets of rules are left, want those of weeks that have events", n)
	}
	if r := sweep(t, s); r.Executions != 0 || r.Events != 0 || len(r.Dropped) != 0 {
		t.Errorf("swept again: %+v", r)
	}

	// The log may go now, and with it the last of its week.
	s.Policies.Actions = nil
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkLeft(t, w.db, running, young)
	if n := ruleSets(t, w.db); n != 1 {
		t.Errorf("%d sets of rules are left, want that of the last week", n)
	}
	var there bool
	err := w.db.QueryRow(t.Context(), "SELECT to_regclass('executions_' || to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL", second.Add(-3*day)).Scan(&there)
	if err != nil || there {
		t.Errorf("the empty partition is there: %v, %v", there, err)
	}
}

// Somebody who reads an old week for long holds up nobody but the end of that week.
func TestAPartitionThatIsReadIsLeftToTheNextSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := ended("p.a", thursday(t, w.db, 30), 0)
	insertWithEvents(t, w.db, old)
	s := &retention.Sweeper{DB: w.db, Bus: w.Bus, Logs: w.logs, Policies: retention.Policies{Logs: retention.Policy{Age: day}, History: 7 * day}}
	tx, err := w.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }() // it has ended when all is well
	if _, err := tx.Exec(t.Context(), "SELECT FROM executions"); err != nil {
		t.Fatal(err)
	}
	r, err := s.Sweep(t.Context())
	if err != nil || r.Executions != 0 || len(r.Dropped) != 0 || len(r.Busy) != 1 {
		t.Errorf("swept %+v: %v", r, err)
	}
	checkLeft(t, w.db, old)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := sweep(t, s); r.Executions != 1 || r.Events != 1 || len(r.Dropped) != 2 {
		t.Errorf("swept %+v", r)
	}
	checkLeft(t, w.db)
}
