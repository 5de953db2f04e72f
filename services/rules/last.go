package rules

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// superseded is an execution in whose place that of a later event of its window comes.
type superseded struct {
	action, id string
	by         string // the later event
}

// takeLast lets the last event of a window through, when the window ends: every event of it requests an execution
// for that time, in place of the one before. The entry is written first, then the execution is requested, then the
// one before is ended; and all of that is done before the entry is written for the next event. So whoever decides an
// event again, after a crash anywhere in between, finds what is left to do.
func (s *Service) takeLast(ctx context.Context, b *burst, t turn, req *execution.Request) (string, error) {
	t.mine.EventAt = t.mine.At
	req.NotBefore = t.closes(t.mine)
	found, err := s.once.Get(ctx, t.entry)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", s.open(ctx, t)
	}
	if err != nil {
		return "", fmt.Errorf("read entry %s of %s: %w", t.entry, streams.BucketOnce, err)
	}
	before, err := readOnce(found)
	if err != nil {
		return "", backoff.Permanent(err)
	}
	switch {
	case before.Event == t.mine.Event: // decided again
		b.replace(t, before)
		req.NotBefore = t.closes(before)
		return "", nil
	case t.mine.EventAt.Before(latest(before)): // decided again, after a later one
		known, err := s.requested(ctx, t.action, t.mine.Execution)
		if known || err != nil {
			return "", err
		}
		return t.reason(before), nil
	case t.mine.At.Sub(before.At) < t.window:
		t.mine.At, t.mine.Replaced = before.At, before.Execution
	}
	if err := s.settle(ctx, b, before.Execution); err != nil {
		return "", err
	}
	if err := s.reopen(ctx, t, found.Revision()); err != nil {
		return "", err
	}
	b.replace(t, t.mine)
	req.NotBefore = t.closes(t.mine)
	return "", nil
}

// latest is when EVENTS received the event of an entry.
func latest(o streams.Once) time.Time {
	if o.EventAt.IsZero() {
		return o.At
	}
	return o.EventAt
}

// closes is when the window of an entry ends.
func (t turn) closes(o streams.Once) *time.Time {
	at := o.At.Add(t.window).UTC()
	return &at
}

// replace notes that an execution is to be ended when the one in its place is requested.
func (b *burst) replace(t turn, o streams.Once) {
	if o.Replaced != "" {
		b.superseded = append(b.superseded, superseded{action: t.action, id: o.Replaced, by: o.Event})
	}
}

// supersede ends executions in whose places others have come. One that has started already goes on: its window was
// over before word of the later event came here.
func (s *Service) supersede(ctx context.Context, b *burst) error {
	for _, x := range b.superseded {
		err := s.insist(ctx, "end a superseded execution", func() error {
			_, err := s.facts.Dismiss(ctx, x.action, x.id, 1, streams.Canceled, requestedBy, streams.Error{
				Class: streams.ClassSuperseded, Message: "event " + x.by + " of its window came later, and the rule takes the last (once_per)",
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	b.superseded = nil
	return nil
}
