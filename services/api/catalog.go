package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schema"
)

// errDefinitions is returned while the definitions have never been read: the database has been away since the
// start.
var errDefinitions = errors.New("definitions have not been read yet")

// catalog holds the definitions' last snapshot.
type catalog struct {
	store *definitions.Store
	last  atomic.Pointer[view]
}

// view is a snapshot with what was compiled of it so far.
type view struct {
	*definitions.Snapshot
	actions  sync.Map // pack.Ref to *invocation.Action
	payloads sync.Map // pack.Ref of a trigger to *schema.Schema
}

// use takes a snapshot unless a newer one is there.
func (c *catalog) use(s *definitions.Snapshot) {
	next := &view{Snapshot: s}
	for {
		last := c.last.Load()
		if last != nil && last.Revision >= s.Revision {
			return
		}
		if c.last.CompareAndSwap(last, next) {
			return
		}
	}
}

// refresh reads the definitions now: whoever changed them here sees the change in the next request.
func (c *catalog) refresh(ctx context.Context) error {
	s, err := c.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	c.use(s)
	return nil
}

func (c *catalog) view() (*view, error) {
	v := c.last.Load()
	if v == nil {
		return nil, errDefinitions
	}
	return v, nil
}

// action gives an action ready to be requested.
func (c *catalog) action(text string) (*invocation.Action, error) {
	v, err := c.view()
	if err != nil {
		return nil, err
	}
	ref, err := pack.ParseRef(text)
	if err != nil {
		return nil, notFound("action", text)
	}
	if ready, ok := v.actions.Load(ref); ok {
		return ready.(*invocation.Action), nil
	}
	a, ok := v.Actions[ref]
	if !ok {
		return nil, notFound("action", text)
	}
	ready, err := invocation.Compile(a)
	if err != nil {
		return nil, fmt.Errorf("installed %w", err)
	}
	v.actions.Store(ref, ready)
	return ready, nil
}

// trigger gives a trigger.
func (c *catalog) trigger(text string) (definitions.Trigger, *schema.Schema, error) {
	v, err := c.view()
	if err != nil {
		return definitions.Trigger{}, nil, err
	}
	ref, err := pack.ParseRef(text)
	t, ok := v.Triggers[ref]
	if err != nil || !ok {
		return definitions.Trigger{}, nil, notFound("trigger", text)
	}
	ready, err := v.payload(ref, t)
	return t, ready, err
}

func (v *view) payload(ref pack.Ref, t definitions.Trigger) (*schema.Schema, error) {
	if ready, ok := v.payloads.Load(ref); ok {
		return ready.(*schema.Schema), nil
	}
	ready, err := schema.Compile(t.Spec.Payload)
	if err != nil {
		return nil, fmt.Errorf("installed trigger %s: payload: %w", ref, err)
	}
	v.payloads.Store(ref, ready)
	return ready, nil
}
