package bus

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// pace is how long publishing takes, from which follows how many messages are worth a batch. That differs: a server
// without replicas stages a batch on its disk, in files of its own, which takes as long as some twenty messages, whatever
// the batch's size; one that stages in memory, about as long as one.
type pace struct {
	one   time.Duration // a message alone
	many  time.Duration // a batch of any size
	never bool          // the stream takes no batches
}

// firstWorth is how many messages are worth a batch before anything was measured.
const firstWorth = 16

func newPace() pace { return pace{one: time.Millisecond, many: firstWorth * time.Millisecond} }

// Weights of what was measured before, of a new figure's.
const (
	oneMemory  = 8
	manyMemory = 2
)

// groupFlights is how many publishes of a group are under way at most: while the server waits for the disk with one, the
// next is on its way to it. From fewWorth messages being worth a batch on there is one: what comes meanwhile goes
// together right after it, and the server's work is by the publish rather than by the message.
const (
	groupFlights = 2
	fewWorth     = 8
)

// forgets is the part of a batch's measured time that is forgotten whenever none is sent on its account: what the disk
// did once is not held against it for ever.
const forgets = 256

// pays tells whether a batch of so many messages is faster.
func (p *pace) pays(n int) bool {
	if n < 2 || p.never {
		return false
	}
	if p.many < time.Duration(n)*p.one {
		return true
	}
	p.many -= p.many / forgets
	return false
}

// flights is how many publishes may be under way now.
func (p *pace) flights() int {
	if !p.never && p.many < fewWorth*p.one {
		return 1
	}
	return groupFlights
}

// took takes in how long it took to store so many messages.
func (p *pace) took(n int, d time.Duration) {
	if n == 1 {
		p.one += (d - p.one) / oneMemory
	} else {
		p.many += (d - p.many) / manyMemory
	}
}

// clock measures a publish until the returned function is told its outcome.
func (g *Group) clock(n int) func(error) {
	began := time.Now()
	return func(err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if refused, ok := errors.AsType[*jetstream.APIError](err); ok && n > 1 {
			g.pace.never = g.pace.never || refused.ErrorCode == batchesForbidden
			return // it took less than what it was for
		}
		g.pace.took(n, time.Since(began))
	}
}
