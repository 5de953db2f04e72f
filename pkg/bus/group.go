package bus

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxGroupBytes bounds what is held for one batch besides the number of its messages.
const maxGroupBytes = 4 << 20

// Group stores messages of one stream, those of a process together when many come at once. What comes while others are
// on their way gathers, and goes as one atomic batch with one sync to disk for all, where that is faster than one by one:
// how long either takes is measured as it goes. What comes alone goes alone and at once; nothing ever waits for company.
//
// It guarantees that everybody is told about his own messages as if they had gone alone: when the server refuses a batch,
// which it does whole, all that is in it is published again one by one.
type Group struct {
	bus *Bus

	mu      sync.Mutex // guards the fields below
	flights int
	waiting []*parcel
	pace    pace
}

// parcel is what waits to be stored together. Its messages are all or none only where they go as a batch.
type parcel struct {
	ctx    context.Context
	msgs   []*nats.Msg
	size   int
	answer chan answer // takes one
}

type answer struct {
	sequence uint64 // of the last message
	err      error
}

// NewGroup makes a group. All that it is given has to be for one stream.
func (b *Bus) NewGroup() *Group { return &Group{bus: b, pace: newPace()} }

// Publish stores messages in order and returns the sequence of the last one. When ctx ends before, or the error is none
// of the server, it is unknown whether they are stored. Several messages are all or none only when they happen to go
// as a batch.
func (g *Group) Publish(ctx context.Context, msgs ...*nats.Msg) (uint64, error) {
	p := &parcel{ctx: ctx, msgs: msgs, answer: make(chan answer, 1)}
	for _, m := range msgs {
		p.size += len(m.Data)
	}
	g.mu.Lock()
	if len(g.waiting) == 0 && g.flights < g.pace.flights() {
		g.flights++
		g.mu.Unlock()
		a := g.single(p)
		g.landed()
		return a.sequence, a.err
	}
	g.waiting = append(g.waiting, p)
	g.mu.Unlock()
	select {
	case a := <-p.answer:
		return a.sequence, a.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// Pays tells whether a batch of so many messages takes less time than publishing them one after the other.
func (g *Group) Pays(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pace.pays(n)
}

// landed says that a flight is over, and sends off what may go then.
func (g *Group) landed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flights--
	for len(g.waiting) > 0 && g.flights < g.pace.flights() {
		g.flights++
		go g.fly(g.take())
	}
}

// take takes what goes next: as much as a batch may have, if one pays. Its caller holds mu.
func (g *Group) take() []*parcel {
	n, messages, size := 0, 0, 0
	for _, p := range g.waiting {
		if n > 0 && (messages+len(p.msgs) > MaxBatch || size+p.size > maxGroupBytes) {
			break
		}
		n, messages, size = n+1, messages+len(p.msgs), size+p.size
	}
	if n > 1 && !g.pace.pays(messages) {
		n = 1
	}
	taken := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return taken
}

// fly stores what was taken and tells everybody.
func (g *Group) fly(taken []*parcel) {
	defer g.landed()
	if len(taken) == 1 {
		taken[0].answer <- g.single(taken[0])
		return
	}
	var msgs []*nats.Msg
	for _, p := range taken {
		msgs = append(msgs, p.msgs...)
	}
	last, err := g.PublishBatch(context.Background(), msgs)
	if refused(err) {
		g.oneByOne(taken)
		return
	}
	at := last - uint64(len(msgs)) // a batch is stored without anything in between
	for _, p := range taken {
		at += uint64(len(p.msgs))
		p.answer <- answer{sequence: at, err: err}
	}
}

// oneByOne has everybody hear what the server says of his own messages.
func (g *Group) oneByOne(taken []*parcel) {
	var all sync.WaitGroup
	for _, p := range taken {
		all.Go(func() { p.answer <- g.alone(p) })
	}
	all.Wait()
}

// single stores one parcel in the way that takes less time.
func (g *Group) single(p *parcel) answer {
	if len(p.msgs) > 1 && len(p.msgs) <= MaxBatch && g.Pays(len(p.msgs)) {
		last, err := g.PublishBatch(p.ctx, p.msgs)
		if !refused(err) {
			return answer{last, err}
		}
	}
	return g.alone(p)
}

// alone stores the messages of a parcel one after the other.
func (g *Group) alone(p *parcel) (a answer) {
	for _, m := range p.msgs {
		unstamp(m)
		done := g.clock(1)
		ack, err := g.bus.JS.PublishMsg(p.ctx, m)
		if done(err); err != nil {
			return answer{err: err}
		}
		a.sequence = ack.Sequence
	}
	return a
}

// PublishBatch stores messages as Bus.PublishBatch does, at once.
func (g *Group) PublishBatch(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	done := g.clock(len(msgs))
	last, err := g.bus.PublishBatch(ctx, msgs)
	done(err)
	return last, err
}

// refused tells whether the server took no part of a batch.
func refused(err error) bool {
	_, is := errors.AsType[*jetstream.APIError](err)
	return is
}

// batchesForbidden is the server's code for a batch to a stream that takes none.
const batchesForbidden jetstream.ErrorCode = 10174
