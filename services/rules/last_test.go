package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// Of each window the execution of the last event stays, to be put in line when the window ends, and those before it
// are ended; however often copies come and go, and when everything is decided again.
func TestTheLastEventOfAWindowGoesThroughWhenItEnds(t *testing.T) {
	t.Parallel()
	const events, copies = 200, 6
	f := newFixture(t)
	for i := range events {
		f.fire(t, []string{"web1", "web1", "web2"}[i%3], i)
	}
	all := f.happened(t)
	window := all[events-1].ReceivedAt.Sub(all[0].ReceivedAt) / 10
	last := oncePer("event.payload.host", window)
	last.Take = pack.TakeLast
	f.install(t, alerts(last))
	opened := letThrough(all, window)
	f.decideAllWith(t, events, copies)
	f.checkLast(t, all, opened, window)
	forget(t, f, streams.Decisions)
	f.decideAllWith(t, events, copies)
	f.checkLast(t, all, opened, window)
}

// decideAllWith runs one copy after the other until every event is decided. Every decision is a match, which says when
// its execution would start.
func (f *fixture) decideAllWith(t *testing.T, events, copies int) {
	t.Helper()
	seen := map[string]bool{}
	stop := f.start(t, "last0")
	for n := 1; len(seen) < events; {
		d := f.next(t)
		seen[d.EventID] = true
		if r := outcome(t, d, page); r.Outcome != streams.Matched || !strings.Contains(r.Reason, "it is put in line at") {
			t.Errorf("decision %+v", r)
		}
		if n < copies && len(seen) >= n*events/copies {
			stop()
			stop = f.start(t, fmt.Sprintf("last%d", n))
			n++
		}
	}
	stop()
	for len(f.decisions) > 0 {
		<-f.decisions
	}
}

// checkLast looks at the execution of every event.
func (f *fixture) checkLast(t *testing.T, all []event.Event, opened map[string]event.Event, window time.Duration) {
	t.Helper()
	through := map[string]string{} // the last event, by the one that opened its window
	for _, ev := range all {
		through[opened[ev.ID].ID] = ev.ID
	}
	if len(through) < 5 {
		t.Fatalf("%d windows, want more of them", len(through))
	}
	facts := execution.NewFacts(f.JS)
	for _, ev := range all {
		first := opened[ev.ID]
		st, err := facts.Last(t.Context(), "alerts.notify", execution.DeriveID(ev.ID, page))
		switch closes := first.ReceivedAt.Add(window); {
		case err != nil:
			t.Errorf("event %s: %v", ev.ID, err)
		case through[first.ID] != ev.ID:
			if st.Status != streams.Canceled || st.Error == nil || st.Error.Class != streams.ClassSuperseded {
				t.Errorf("an earlier event's execution is %s, %+v", st.Status, st.Error)
			}
		case st.Status != streams.Requested || st.NotBefore == nil || !st.NotBefore.Equal(closes):
			t.Errorf("the last event's execution is %s, not before %v, want %v", st.Status, st.NotBefore, closes)
		}
	}
	if n := queueLength(t, f); n != 0 {
		t.Errorf("%d in the queue, want none: nobody schedules here", n)
	}
}
