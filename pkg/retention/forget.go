package retention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lifecycle"
)

const (
	// settling is how long after a partition is past retention it is dropped: what was requested on its last day has
	// mostly ended by then.
	settling = 24 * time.Hour
	// waitExecutions is how long the rest of it is waited for. From then on what may go is removed row by row, and what
	// may not keeps the partition.
	waitExecutions = 7 * 24 * time.Hour
	// eventsLast is after how long nothing comes of an event any more: EVENTS has let go of it, and nobody decides it
	// or requests an execution for it.
	eventsLast = 8 * 24 * time.Hour
	// waitEvents is the same for events, whose executions are in partitions that end up to two weeks later.
	waitEvents = 15*24*time.Hour + waitExecutions
	// dropTries is how often a partition is tried that somebody uses, and dropPause the time between.
	dropTries = 3
	dropPause = 2 * time.Second
)

// forgetting is what makes a sweep forget history before a moment. A dry one only counts.
type forgetting struct {
	*Sweeper
	store  *history.Store
	now    time.Time
	before time.Time
	dry    bool
	report *Report
}

// forget removes history that is older than it is kept: executions that have no log any more, then events of which no
// execution is left, each with what hangs on it, then notes of messages that could not become history and sets of rules
// that no event names any more. Where all of a partition may go it is dropped.
func (s *Sweeper) forget(ctx context.Context, r *Report, dry bool) error {
	if s.Policies.History <= 0 {
		return nil
	}
	now := time.Now()
	f := &forgetting{Sweeper: s, store: history.New(s.DB), now: now, before: now.Add(-s.Policies.History), dry: dry, report: r}
	if err := f.executions(ctx); err != nil {
		return fmt.Errorf("forget executions: %w", err)
	}
	if len(r.Busy) > 0 {
		return nil // events go after their executions
	}
	if err := f.events(ctx); err != nil {
		return fmt.Errorf("forget events: %w", err)
	}
	if dry {
		return nil
	}
	if _, err := s.DB.Exec(ctx, `DELETE FROM rejected_messages WHERE rejected_at < $1`, f.before); err != nil {
		return fmt.Errorf("forget rejected messages: %w", err)
	}
	if _, err := s.DB.Exec(ctx, query("forget_rule_sets"), f.before); err != nil {
		return fmt.Errorf("forget sets of rules: %w", err)
	}
	return nil
}

func (f *forgetting) executions(ctx context.Context) error {
	return f.each(ctx, "executions", f.before, func(ctx context.Context, p history.Partition, droppable bool) error {
		t := target{
			tables: []string{p.Table}, stays: "executions_stay", args: []any{f.before}, may: mayGo("v"), remove: "forget_executions",
			before: f.before, wait: waitExecutions, total: &f.report.Executions,
		}
		return f.settle(ctx, p, t, droppable)
	})
}

// events goes through the events, of partitions from which nothing can come any more.
func (f *forgetting) events(ctx context.Context) error {
	before := f.before
	if latest := f.now.Add(-eventsLast); before.After(latest) {
		before = latest
	}
	return f.each(ctx, "events", before, func(ctx context.Context, p history.Partition, droppable bool) error {
		t := target{
			tables: []string{p.Table, decisionsOf(p.Table)}, stays: "events_stay", args: []any{p.Since.Add(-settling), p.Until.Add(eventsLast), f.report.Dropped},
			may: fmt.Sprintf(query("event_may_go"), mayGo("e")), remove: "forget_events", before: before, wait: waitEvents, total: &f.report.Events,
		}
		return f.settle(ctx, p, t, droppable)
	})
}

// mayGo is the condition under which an execution may go, given the name that a statement has for it.
func mayGo(name string) string {
	return strings.ReplaceAll(query("execution_may_go"), "v.", name+".")
}

// decisionsOf gives the partition of decisions that goes with one of events.
func decisionsOf(events string) string { return "decisions" + events[len("events"):] }

// each visits the partitions that are past retention, oldest first, and the default one.
func (f *forgetting) each(ctx context.Context, table string, before time.Time, visit func(context.Context, history.Partition, bool) error) error {
	all, err := f.store.Partitions(ctx, table)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Until.Add(settling).After(before) {
			break
		}
		if err := visit(ctx, p, true); err != nil {
			return err
		}
	}
	return visit(ctx, history.Partition{Table: table + "_default"}, false)
}

// target is what of a partition goes, and how.
type target struct {
	tables []string // the partition, and what goes with it
	stays  string   // the statement that tells whether the partition has to stay
	args   []any    // of that
	may    string   // the condition under which a row may go
	remove string   // the statement that removes a page of those rows
	before time.Time
	wait   time.Duration // how long after that the rest of a partition is waited for
	total  *int64
}

// settle drops a partition when all of it may go. Otherwise it removes what may, if the rest has been waited for long
// enough.
func (f *forgetting) settle(ctx context.Context, p history.Partition, t target, droppable bool) error {
	if droppable {
		done, err := f.drop(ctx, t)
		if done || err != nil || p.Until.Add(t.wait).After(t.before) {
			return err
		}
	}
	if f.dry {
		n, err := t.count(ctx, f.DB, "WHERE %[3]s", t.before)
		*t.total += n
		return err
	}
	if err := f.thin(ctx, t); err != nil || !droppable {
		return err
	}
	_, err := f.drop(ctx, t) // when nothing is left of it
	return err
}

// drop drops a partition of which all may go, and tells whether there is nothing else to be done about it. It waits for
// nobody for long: what is busy is left to the next sweep.
func (f *forgetting) drop(ctx context.Context, t target) (done bool, err error) {
	for try := 1; ; try++ {
		done, err = f.tryDrop(ctx, t)
		if !errors.Is(err, history.ErrBusy) {
			return done, err
		}
		if try == dropTries {
			f.report.Busy = append(f.report.Busy, t.tables[0])
			return true, nil
		}
		if lifecycle.Pause(ctx, dropPause); ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
	}
}

// tryDrop looks and drops. In between nobody can write to the partition, while it can be read until it is dropped.
func (f *forgetting) tryDrop(ctx context.Context, t target) (done bool, err error) {
	var rows int64
	err = f.store.Exclusively(ctx, func(tx pgx.Tx) error {
		if !f.dry {
			if _, err := tx.Exec(ctx, "LOCK TABLE "+identifiers(t.tables)+" IN SHARE MODE"); err != nil {
				return err
			}
		}
		var stays bool
		if err := tx.QueryRow(ctx, t.sql(query(t.stays)), t.args...).Scan(&stays); err != nil || stays {
			return err
		}
		var err error
		if rows, err = t.count(ctx, tx, ""); err != nil {
			return err
		}
		done = true
		if f.dry {
			return nil
		}
		_, err = tx.Exec(ctx, "DROP TABLE "+identifiers(t.tables))
		return err
	})
	if err != nil || !done {
		return false, err
	}
	*t.total += rows
	f.report.Dropped = append(f.report.Dropped, t.tables[0])
	if !f.dry {
		f.told(ctx, *f.report)
	}
	return true, nil
}

// thin removes what may go of a partition, in pages.
func (f *forgetting) thin(ctx context.Context, t target) error {
	for at := (place{}); ; {
		var gone, seen int64
		if err := f.DB.QueryRow(ctx, t.sql(query(t.remove)), t.before, forgetRows, at.at, at.id).Scan(&gone, &seen, &at.at, &at.id); err != nil {
			return err
		}
		if *t.total += gone; seen < forgetRows {
			return nil
		}
		f.told(ctx, *f.report)
	}
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// count counts rows of the partition.
func (t target) count(ctx context.Context, q querier, where string, args ...any) (n int64, err error) {
	err = q.QueryRow(ctx, t.sql("SELECT count(*) FROM %[1]s AS v "+where), args...).Scan(&n)
	return n, err
}

// sql puts the tables and the condition into a statement.
func (t target) sql(statement string) string {
	return fmt.Sprintf(statement, identifiers(t.tables[:1]), identifiers(t.tables[len(t.tables)-1:]), t.may)
}

func identifiers(tables []string) string {
	var quoted []string
	for _, t := range tables {
		quoted = append(quoted, pgx.Identifier{t}.Sanitize())
	}
	return strings.Join(quoted, ", ")
}
