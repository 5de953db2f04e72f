package history_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

const week = 7 * 24 * time.Hour

// tableOf tells in which partition an execution is.
func tableOf(t *testing.T, db *pgxpool.Pool, id string) (table string) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "SELECT tableoid::regclass::text FROM executions WHERE id = $1", id).Scan(&table); err != nil {
		t.Fatal(err)
	}
	return table
}

// at gives facts another time of request.
func at(when time.Time, facts ...history.FactAt) []history.FactAt {
	for i := range facts {
		facts[i].RequestedAt = when
	}
	return facts
}

func derived(name string) string { return uuid.NewSHA1(uuid.Nil, []byte(name)).String() }

func TestPartitionsAreMadeOnceByManyAtOnce(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s := history.New(db)
	before, err := s.Partitions(t.Context(), "executions")
	if err != nil || len(before) == 0 {
		t.Fatalf("%d partitions: %v", len(before), err)
	}
	later := before[len(before)-1].Until.Add(10 * week) // a recorder was away for that long
	made := make([]int, 4)
	g, ctx := errgroup.WithContext(t.Context())
	for i := range made {
		g.Go(func() (err error) {
			for made[i], err = s.MakePartitions(ctx, later); errors.Is(err, history.ErrBusy); {
				var n int
				n, err = s.MakePartitions(ctx, later)
				made[i] += n
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if sum := made[0] + made[1] + made[2] + made[3]; sum != 3*15 { // ten weeks, that one, and four ahead
		t.Errorf("%v tables made", made)
	}
	for _, table := range []string{"executions", "events", "decisions"} {
		after, err := s.Partitions(t.Context(), table)
		if err != nil || len(after) != len(before)+15 {
			t.Errorf("%s: %d partitions: %v", table, len(after), err)
		}
		for i := 1; i < len(after); i++ {
			if !after[i].Since.Equal(after[i-1].Until) || after[i].Until.Sub(after[i].Since) != week {
				t.Errorf("%s: %v after %v", table, after[i], after[i-1])
			}
		}
	}
}

// Whatever the clocks say a row is recorded, and no partition is made for it alone. It moves when its partition is made.
func TestRowsThatNoPartitionTakesAreKept(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s := history.New(db)
	now := time.Now().UTC().Truncate(time.Second)
	times := map[string]time.Time{}
	for _, when := range []time.Time{time.Unix(0, 0).UTC(), now.Add(-300 * week), now, now.Add(8 * week), time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		f := at(when, life(execution.NewID(), 1, streams.Running, streams.Succeeded)...)
		apply(t, s, f[:1]...)
		apply(t, s, f[1:]...)
		e := received(event.NewID(), 1)
		e.ReceivedAt = when
		if err := s.ApplyEvents(t.Context(), []history.Received{e}, nil); err != nil {
			t.Fatal(err)
		}
		times[f[0].ID] = when
	}
	for _, make := range []time.Time{now, now.Add(8 * week)} {
		if _, err := s.MakePartitions(t.Context(), make); err != nil {
			t.Fatal(err)
		}
		for id, when := range times {
			if got := show(t, s, id); !got.RequestedAt.Equal(when) || got.Status != streams.Succeeded {
				t.Errorf("%s: %+v", when, got)
			}
			stray := when.Before(now) || when.After(make.Add(week))
			if table := tableOf(t, db, id); (table == "executions_default") != stray {
				t.Errorf("%s is in %s", when, table)
			}
		}
	}
	if all := pages(t, s, history.ExecutionFilter{}, 2); len(all) != len(times) {
		t.Errorf("%d are listed", len(all))
	}
}

// Somebody who reads for long holds up nobody who records.
func TestMakingPartitionsGivesWay(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s := history.New(db)
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }() // it has ended when all is well
	if _, err := tx.Exec(t.Context(), "SELECT FROM executions"); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(20 * week)
	if made, err := s.MakePartitions(t.Context(), later); !errors.Is(err, history.ErrBusy) || made != 0 {
		t.Errorf("%d tables made: %v", made, err)
	}
	f := at(later, life(execution.NewID(), 1)...)
	apply(t, s, f...)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if made, err := s.MakePartitions(t.Context(), later); err != nil || made == 0 {
		t.Errorf("%d tables made: %v", made, err)
	}
	if table := tableOf(t, db, f[0].ID); table == "executions_default" {
		t.Errorf("it is in %s", table)
	}
}

// The same id is requested again, with another time, when neither bus nor history could tell that it is known.
func TestAnExecutionThatIsRequestedAgainKeepsItsRow(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	for name, c := range map[string]struct {
		id    string
		later time.Duration
	}{"derived": {derived("again"), 5 * week}, "earlier": {derived("earlier"), -5 * week}, "of version 7": {execution.NewID(), 2 * time.Hour}} {
		first := at(origin, life(c.id, 1, streams.Running)...)
		apply(t, s, first...)
		again := at(origin.Add(c.later), life(c.id, 11, streams.Running, streams.Succeeded)...)
		apply(t, s, again[0])
		apply(t, s, again[1:]...)
		apply(t, s, first...)
		if got := show(t, s, c.id); !got.RequestedAt.Equal(origin) || got.Status != streams.Succeeded {
			t.Errorf("%s: %s, %s", name, got.RequestedAt, got.Status)
		}
	}
	if all := pages(t, s, history.ExecutionFilter{}, 10); len(all) != 3 {
		t.Errorf("%d rows", len(all))
	}
}

// An event that is published again under its id, weeks later, stays the first, in whatever order the messages are read,
// and its decisions stay with it.
func TestAnEventThatIsPublishedAgainKeepsItsRow(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	var shown []history.Event
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 2, 0}, {2, 0, 3, 1}} {
		id := derived("event")
		if err := s.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		first, second := received(id, 1), received(id, 2)
		second.ReceivedAt = first.ReceivedAt.Add(3 * week)
		early, late := decision(id, 1, time.Minute), decision(id, 2, 4*week)
		early.ReceivedAt, late.ReceivedAt = first.ReceivedAt, second.ReceivedAt
		for _, i := range order {
			var err error
			switch i {
			case 0, 1:
				err = s.ApplyEvents(t.Context(), []history.Received{[]history.Received{first, second}[i]}, nil)
			case 2, 3:
				err = s.ApplyEvents(t.Context(), nil, []streams.Decision{[]streams.Decision{early, late}[i-2]})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Event(t.Context(), id)
		if err != nil || !got.ReceivedAt.Equal(first.ReceivedAt) || got.Seq != 1 || len(got.Decisions) != 4 {
			t.Errorf("%v: %+v, %v", order, got, err)
		}
		shown = append(shown, got)
		if d := cmp.Diff(shown[0], got); d != "" {
			t.Errorf("%v: %s", order, d)
		}
		if all, err := s.ListEvents(t.Context(), history.EventFilter{}, history.Page{}); err != nil || len(all.Items) != 1 {
			t.Errorf("%v: %d rows, %v", order, len(all.Items), err)
		}
	}
}
