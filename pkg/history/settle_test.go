package history_test

import (
	"testing"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// A log is settled by the fact that ends its execution, when that says that the log is stored.
func TestLogsThatMayHaveToBeCompletedWaitForIt(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	run := []streams.Status{streams.Running}
	for name, c := range map[string]struct {
		path    []streams.Status
		change  func(*streams.Fact)
		settled bool
	}{
		"runs":                          {path: run},
		"succeeded":                     {path: append(run, streams.Succeeded), settled: true},
		"lost":                          {path: append(run, streams.Lost)},
		"its runner gave up":            {path: append(run, streams.Failed), change: func(f *streams.Fact) { f.Output.Incomplete = true }},
		"ended without its runner":      {path: append(run, streams.Canceled), change: func(f *streams.Fact) { f.Output = nil }},
		"canceled before it ran":        {path: []streams.Status{streams.Canceled}, change: func(f *streams.Fact) { f.Output = nil }, settled: true},
		"canceled before another start": {path: append(run, streams.Requested, streams.Canceled), change: func(f *streams.Fact) { f.Output = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			facts := life(execution.NewID(), 1, c.path...)
			last := &facts[len(facts)-1]
			if last.Output != nil {
				last.Output.LogBytes, last.Output.StoredBytes = 7, 5
			}
			if c.change != nil {
				c.change(&last.Fact)
			}
			apply(t, s, facts...)
			got := show(t, s, last.ID)
			if settled := got.LogSettledAt != nil; settled != c.settled || got.LogRemovedAt != nil {
				t.Errorf("settled: %v, want %v; removed at %v", settled, c.settled, got.LogRemovedAt)
			}
			if o := last.Output; o != nil && got.Output != *o {
				t.Errorf("output is %+v, want %+v", got.Output, *o)
			}
		})
	}
}

func TestSettlingGoesThroughAllThatIsUnsettledOnce(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	want := map[string]bool{}
	for seq := range uint64(7) {
		facts := life(execution.NewID(), 10*seq+1, streams.Running, streams.Lost)
		want[facts[0].ID] = true
		apply(t, s, facts...)
	}
	apply(t, s, life(execution.NewID(), 100, streams.Running)...)
	for place, left := (history.Unsettled{}), len(want); left > 0; {
		found, err := s.Unsettled(t.Context(), place, 3)
		if err != nil || len(found) != min(left, 3) {
			t.Fatalf("found %d, want %d: %v", len(found), min(left, 3), err)
		}
		for _, u := range found {
			if !want[u.ID] || u.EndedAt.Before(place.EndedAt) {
				t.Fatalf("%+v after %+v", u, place)
			}
			delete(want, u.ID)
			place, left = u, left-1
		}
		for _, log := range []history.SettledLog{{Bytes: 9, Stored: 4, Incomplete: true}, {Bytes: 1}} { // the first counts
			if err := s.Settle(t.Context(), found[0], log); err != nil {
				t.Fatal(err)
			}
		}
		if e := show(t, s, found[0].ID); e.LogSettledAt == nil || e.Output.LogBytes != 9 || e.Output.StoredBytes != 4 || !e.Output.Incomplete {
			t.Fatalf("settled: %+v", e)
		}
	}
	if left, err := s.Unsettled(t.Context(), history.Unsettled{}, 10); err != nil || len(left) != 4 {
		t.Fatalf("%d are left: %v", len(left), err)
	}
}
