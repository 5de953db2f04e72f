package scheduler

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
)

// limitsPatience is how long a new leader waits for definitions before it goes by the limits that requests
// carry. A copy that stood by knows them already.
const limitsPatience = 2 * time.Second

// limits holds the limits that the definitions say. It is kept current also while another copy leads, so that
// a leader who cannot reach PostgreSQL knows the last ones.
type limits struct {
	mu      sync.Mutex // guards the fields below
	current map[pack.Ref]int
	changed chan struct{} // closed at the next change
}

func newLimits() *limits { return &limits{changed: make(chan struct{})} }

func limitsOf(snap *definitions.Snapshot) map[pack.Ref]int {
	all := make(map[pack.Ref]int, len(snap.Actions))
	for ref, a := range snap.Actions {
		all[ref] = a.Spec.Concurrency.Limit
	}
	return all
}

func (l *limits) set(all map[pack.Ref]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil && maps.Equal(l.current, all) {
		return
	}
	l.current = all
	close(l.changed)
	l.changed = make(chan struct{})
}

// get gives the limits, nil while none are known, and a channel that is closed when others are.
func (l *limits) get() (map[pack.Ref]int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current, l.changed
}

// followLimits keeps the machine's limits those of the definitions.
func (t *term) followLimits(ctx context.Context, known map[pack.Ref]int) error {
	for {
		now, changed := t.limits.get()
		if now != nil && !maps.Equal(now, known) {
			if err := t.do(ctx, func() { applyLimits(t.state, known, now) }); err != nil {
				return err
			}
			known = now
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

func applyLimits(state *admission.State, before, now map[pack.Ref]int) {
	for ref, n := range now {
		state.SetLimit(ref, n)
	}
	for ref := range before {
		if _, ok := now[ref]; !ok {
			state.ForgetLimit(ref)
		}
	}
}

// firstLimits gives the limits to begin a term with.
func (t *term) firstLimits(ctx context.Context) map[pack.Ref]int {
	now, changed := t.limits.get()
	if now != nil || t.DB == nil {
		return now
	}
	timer := time.NewTimer(limitsPatience)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
		t.Logger.WarnContext(ctx, "definitions unknown, using the limits that requests carry")
	case <-ctx.Done():
	}
	now, _ = t.limits.get()
	return now
}
