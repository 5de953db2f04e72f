package sensor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/lifecycle"
)

// window is how many events of a sensor may be on their way to the stream at once.
const window = 128

// publishTimeout bounds the wait for the answer to one publish.
const publishTimeout = 5 * time.Second

// errTooLarge is returned when the bus does not take an event of that size.
var errTooLarge = errors.New("too large for the bus")

// publisher publishes the events of one start of a sensor in their order. Its publish belongs to one goroutine.
type publisher struct {
	js    jetstream.JetStream
	limit *rate.Limiter
	sent  func()      // told of every event that the stream has taken
	lost  func(error) // told of every event that it never will

	// ctx ends when what was not published by then is given up.
	ctx  context.Context
	open chan sending  // those on their way, in order
	done chan struct{} // closed when all of them are settled
}

// sending is an event on its way.
type sending struct {
	event   event.New
	pending event.Pending
	err     error // it could not even be begun
}

func newPublisher(ctx context.Context, js jetstream.JetStream, perSecond int, sent func(), lost func(error)) *publisher {
	p := &publisher{
		js: js, limit: rate.NewLimiter(rate.Limit(perSecond), perSecond), sent: sent, lost: lost, ctx: ctx,
		open: make(chan sending, window), done: make(chan struct{}),
	}
	go p.settle()
	return p
}

// publish sends an event when the rate and the window allow it. It fails when ctx ends.
func (p *publisher) publish(n event.New) error {
	if err := p.limit.Wait(p.ctx); err != nil {
		return fmt.Errorf("event of %s: %w", n.Trigger, err)
	}
	pending, err := event.Begin(p.js, n)
	select {
	case p.open <- sending{event: n, pending: pending, err: err}:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// close returns when everything is published, or given up.
func (p *publisher) close() {
	close(p.open)
	<-p.done
}

func (p *publisher) settle() {
	defer close(p.done)
	for s := range p.open {
		err := s.err
		if err == nil {
			err = s.pending.Wait(p.ctx)
		}
		if err != nil && !errors.Is(err, event.ErrDuplicate) && !isTooLarge(err) {
			err = p.insist(s.event)
		}
		switch {
		case err == nil:
			p.sent()
		case errors.Is(err, event.ErrDuplicate): // the stream has it already
		case isTooLarge(err):
			p.lost(errTooLarge)
		default:
			p.lost(err)
		}
	}
}

// insist publishes an event that was not taken the first time. It has an id, so trying again is harmless.
func (p *publisher) insist(n event.New) error {
	return lifecycle.Insist(p.ctx, lifecycle.Pauses(50*time.Millisecond, time.Second), nil, func() error {
		ctx, cancel := context.WithTimeout(p.ctx, publishTimeout)
		defer cancel()
		_, err := event.Publish(ctx, p.js, n)
		switch {
		case errors.Is(err, event.ErrDuplicate): // the first try had arrived
			return nil
		case isTooLarge(err):
			err = backoff.Permanent(err)
		}
		return err
	})
}

func isTooLarge(err error) bool { return errors.Is(err, nats.ErrMaxPayload) }
