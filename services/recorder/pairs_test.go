package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/streams"
)

// writes are those of pairs, each as the numbers of its events and decisions and how long after the start it began.
type writes struct {
	pairs
	began time.Time
	takes time.Duration // a write
	err   error         // of those of both

	mu   sync.Mutex
	done []string
}

func newWrites() *writes {
	w := &writes{began: time.Now(), takes: time.Millisecond}
	w.write = func(ctx context.Context, events []history.Received, decisions []streams.Decision) error {
		w.mu.Lock()
		w.done = append(w.done, fmt.Sprintf("%d+%d at %s", len(events), len(decisions), time.Since(w.began)))
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(w.takes):
		}
		if len(events) > 0 && len(decisions) > 0 {
			return w.err
		}
		return nil
	}
	return w
}

// step is something that one of the lanes has to write, and when. Each lane's steps are one after the other.
type step struct {
	at                time.Duration
	events, decisions int
}

// run takes the steps and gives their errors.
func (w *writes) run(ctx context.Context, steps ...step) []error {
	errs := make([]error, len(steps))
	var g sync.WaitGroup
	for i, s := range steps {
		g.Go(func() {
			lifecycle.Pause(ctx, s.at-time.Since(w.began))
			if s.events > 0 {
				errs[i] = w.applyEvents(ctx, make([]history.Received, s.events))
			} else {
				errs[i] = w.applyDecisions(ctx, make([]streams.Decision, s.decisions))
			}
		})
	}
	g.Wait()
	return errs
}

func (w *writes) expect(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(w.done)
	slices.Sort(want)
	if !slices.Equal(w.done, want) {
		t.Errorf("written: %q, want %q", w.done, want)
	}
}

const ms = time.Millisecond

func TestEventsAndDecisionsUnderLoadAreWrittenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites()
		w.run(t.Context(), step{at: 0, events: 5}, step{at: 30 * ms, decisions: 6}, step{at: 60 * ms, events: 7}, step{at: 121 * ms, events: 8}, step{at: 123 * ms, decisions: 9})
		w.expect(t, "5+0 at 0s", "7+6 at 60ms", "8+9 at 123ms")
	})
}

func TestFewMessagesAreNotHeldUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites()
		w.run(t.Context(), step{at: 0, events: 1}, step{at: 10 * ms, decisions: 1}, // nothing tells of load
			step{at: 20 * ms, events: 5}, step{at: 30 * ms, decisions: 1}, // one side does
			step{at: 40 * ms, decisions: 6}, step{at: 50 * ms, events: 2}) // and for few is waited
		w.expect(t, "1+0 at 0s", "0+1 at 10ms", "5+0 at 20ms", "0+1 at 30ms", "2+6 at 50ms")
	})
}

func TestALaneThatStopsIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites()
		w.run(t.Context(), step{at: 0, events: 5}, step{at: 10 * ms, decisions: 6}, step{at: 200 * ms, decisions: 7})
		w.expect(t, "5+0 at 0s", "0+6 at 130ms", "0+7 at 200ms")
	})
}

func TestALaneThatWritesIsWaitedForUntilItComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites()
		w.takes = time.Second
		w.run(t.Context(), step{at: 0, events: 5}, step{at: 10 * ms, decisions: 6}, step{at: 1100 * ms, events: 7})
		w.expect(t, "5+0 at 0s", "7+6 at 1.1s")
	})
}

func TestWhatIsRefusedTogetherIsWrittenApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites()
		w.err = history.ErrUnreadable
		errs := w.run(t.Context(), step{at: 0, events: 5}, step{at: 10 * ms, decisions: 6}, step{at: 60 * ms, events: 7})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		w.expect(t, "5+0 at 0s", "7+6 at 60ms", "7+0 at 61ms", "0+6 at 61ms")
	})
}

func TestBothLanesHearThatTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites()
		w.err = errors.New("the database is away")
		errs := w.run(t.Context(), step{at: 0, events: 5}, step{at: 10 * ms, decisions: 6}, step{at: 60 * ms, events: 7})
		if want := []error{nil, w.err, w.err}; !slices.Equal(errs, want) {
			t.Errorf("errors %v, want %v", errs, want)
		}
		w.expect(t, "5+0 at 0s", "7+6 at 60ms")
	})
}

func TestALaneWhoseTimeIsUpLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites()
		w.run(t.Context(), step{at: 0, events: 5})
		ctx, cancel := context.WithTimeout(t.Context(), 5*ms)
		defer cancel()
		if err := w.applyDecisions(ctx, make([]streams.Decision, 6)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		w.run(t.Context(), step{at: 10 * ms, events: 1})
		w.expect(t, "5+0 at 0s", "1+0 at 10ms")
	})
}
