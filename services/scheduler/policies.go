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

// policyPatience is how long a new leader waits for definitions before it goes by what requests carry. A copy that
// stood by knows them already.
const policyPatience = 2 * time.Second

// declared is what the definitions say of admission.
type declared struct {
	actions map[pack.Ref]admission.Policy
	packs   map[string]int // limits
}

func declaredBy(snap *definitions.Snapshot) *declared {
	d := &declared{actions: make(map[pack.Ref]admission.Policy, len(snap.Actions)), packs: make(map[string]int, len(snap.Packs))}
	for ref, a := range snap.Actions {
		d.actions[ref] = admission.Policy{Limit: a.Spec.Concurrency.Limit, Rate: a.Spec.Rate}
		d.packs[ref.Pack] = a.PackLimit
	}
	return d
}

func (d *declared) equal(other *declared) bool {
	return d != nil && other != nil && maps.Equal(d.actions, other.actions) && maps.Equal(d.packs, other.packs)
}

// policies holds what the definitions say. It is kept current also while another copy leads, so that a leader who
// cannot reach PostgreSQL knows the last ones.
type policies struct {
	mu      sync.Mutex // guards the fields below
	current *declared
	changed chan struct{} // closed at the next change
}

func newPolicies() *policies { return &policies{changed: make(chan struct{})} }

func (p *policies) set(d *declared) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.equal(p.current) {
		return
	}
	p.current = d
	close(p.changed)
	p.changed = make(chan struct{})
}

// get gives what the definitions say, nil while nobody knows, and a channel that is closed when that changes.
func (p *policies) get() (*declared, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current, p.changed
}

// followPolicies keeps the machine's policies those of the definitions.
func (t *term) followPolicies(ctx context.Context, known *declared) error {
	for {
		now, changed := t.policies.get()
		if now != nil && now != known {
			if err := t.do(ctx, func() { t.apply(known, now) }); err != nil {
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

// apply tells the machine what the definitions say, and what they say no longer.
func (t *term) apply(before, now *declared) {
	if before == nil {
		before = &declared{}
	}
	if now == nil {
		now = &declared{}
	}
	for ref, p := range now.actions {
		if was, ok := before.actions[ref]; !ok || was != p {
			t.state.SetPolicy(ref, p)
		}
	}
	for name, limit := range now.packs {
		t.state.SetPackLimit(name, limit)
	}
	for ref := range before.actions {
		if _, ok := now.actions[ref]; !ok {
			t.state.ForgetPolicy(ref)
		}
	}
	for name := range before.packs {
		if _, ok := now.packs[name]; !ok {
			t.state.ForgetPackLimit(name)
		}
	}
}

// firstPolicies gives what to begin a term with.
func (t *term) firstPolicies(ctx context.Context) *declared {
	now, changed := t.policies.get()
	if now != nil || t.DB == nil {
		return now
	}
	timer := time.NewTimer(policyPatience)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
		t.Logger.WarnContext(ctx, "definitions unknown, using what requests carry")
	case <-ctx.Done():
	}
	now, _ = t.policies.get()
	return now
}
