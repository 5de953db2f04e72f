package recorder

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// back is how long a lane with load takes at most from the end of one write to the next, unless its messages stop.
const back = 2 * busyLinger

// pairs has events and decisions written together while both come in numbers: an event whose decision comes with it is a
// row, in the place of a row and its change, and there is one transaction in the place of two. The first of the two
// lanes then waits for the other, and from then on they go in step, since both begin anew when the same write ends. Few
// messages are never held up.
type pairs struct {
	write func(ctx context.Context, events []history.Received, decisions []streams.Decision) error

	mu                sync.Mutex // guards the fields below
	events, decisions side
}

// side is one of the two lanes.
type side struct {
	busy    bool // its last batch told of load, and it was not waited for in vain since
	writing bool
	wrote   time.Time // the end of its last write
	waiting *half     // for the other side; taken by whoever writes it
}

// half is what one lane has to write.
type half struct {
	events    []history.Received
	decisions []streams.Decision
	written   chan error // how the other lane wrote it
}

// errApart tells a lane to write alone: the other does not come, or both together were refused.
var errApart = errors.New("events and decisions go apart")

func (p *pairs) applyEvents(ctx context.Context, events []history.Received) error {
	return p.apply(ctx, &half{events: events, written: make(chan error, 1)}, &p.events, &p.decisions)
}

func (p *pairs) applyDecisions(ctx context.Context, decisions []streams.Decision) error {
	return p.apply(ctx, &half{decisions: decisions, written: make(chan error, 1)}, &p.decisions, &p.events)
}

// apply writes a half, together with that of the other side if there is one or comes soon. After an error it may be
// called again: what was written all the same is written again to the same rows.
func (p *pairs) apply(ctx context.Context, h *half, own, other *side) error {
	err := errApart
	if partner, wait := p.meet(h, own, other); partner != nil {
		err = p.together(ctx, h, partner)
	} else if wait {
		err = p.await(ctx, h, own, other)
	}
	if errors.Is(err, errApart) {
		return p.put(ctx, h.events, h.decisions, own)
	}
	return err
}

// meet takes the half that waits on the other side, or tells whether it is worth while to wait for one.
func (p *pairs) meet(h *half, own, other *side) (partner *half, wait bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own.busy = len(h.events)+len(h.decisions) >= busyFrom
	if other.waiting != nil {
		partner, other.waiting = other.waiting, nil
		return partner, false
	}
	if own.busy && other.busy {
		own.waiting = h
	}
	return nil, own.waiting != nil
}

// together writes both halves, of which one has events and the other decisions, and tells the partner.
func (p *pairs) together(ctx context.Context, h, partner *half) error {
	events, decisions := h.events, partner.decisions
	if events == nil {
		events, decisions = partner.events, h.decisions
	}
	err := p.put(ctx, events, decisions, &p.events, &p.decisions)
	if history.IsRefusal(err) {
		err = errApart
	}
	partner.written <- err
	return err
}

// await waits for the other side to write the half, and gives that up when it does not come.
func (p *pairs) await(ctx context.Context, h *half, own, other *side) error {
	look := time.NewTicker(busyLinger)
	defer look.Stop()
	for {
		select {
		case err := <-h.written:
			return err
		case <-ctx.Done():
			p.withdraw(own)
			return context.Cause(ctx)
		case <-look.C:
			if p.leave(own, other) {
				return errApart
			}
		}
	}
}

// leave gives up to wait for a side that does not come, and to wait for it before it comes again.
func (p *pairs) leave(own, other *side) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own.waiting == nil || other.writing || time.Since(other.wrote) < back {
		return false
	}
	own.waiting, other.busy = nil, false
	return true
}

func (p *pairs) withdraw(own *side) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own.waiting = nil
}

// put writes for one side or both.
func (p *pairs) put(ctx context.Context, events []history.Received, decisions []streams.Decision, sides ...*side) error {
	p.mark(true, sides)
	defer p.mark(false, sides)
	return p.write(ctx, events, decisions)
}

func (p *pairs) mark(writing bool, sides []*side) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range sides {
		s.writing, s.wrote = writing, time.Now()
	}
}
