package logs

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// waker tells a follower that something happened. It keeps a few messages and drops the others: what was
// dropped is read from the stream, so a slow follower costs nothing but itself.
type waker struct {
	output  chan *nats.Msg // of all followers of the log; nobody changes it
	dropped atomic.Bool    // output had no room
	facts   chan struct{}
	looked  bool // whether the execution's state was looked at
	hub     *hub
	stop    func()
}

// hub hands what comes on the bus for a log to all of its followers in this process. However many they are, it
// comes once.
type hub struct {
	subs []*nats.Subscription

	mu      sync.Mutex // guards the field below
	members map[*waker]struct{}

	looking chan struct{} // holds one while somebody looks at the execution's state; whoever put it owns the fields below
	state   execution.State
	looked  time.Time
	fresh   atomic.Bool // no fact came since it was looked at
}

// lookShared is for how long the followers of a log share what one of them found out about its execution: to find it
// by its id costs the server a scan.
const lookShared = lookAgain / 2

// find gives the state of the execution, at most so old, unless a fact came since.
func (h *hub) find(ctx context.Context, facts *execution.Facts, id string) (execution.State, error) {
	select {
	case h.looking <- struct{}{}:
	case <-ctx.Done():
		return execution.State{}, context.Cause(ctx)
	}
	defer func() { <-h.looking }()
	if h.fresh.Load() && time.Since(h.looked) < lookShared {
		return h.state, nil
	}
	h.fresh.Store(true)
	h.looked = time.Now()
	st, err := facts.Find(ctx, id)
	if h.state = st; err != nil {
		h.fresh.Store(false)
	}
	return st, err
}

// hubs are the hubs of the logs that are followed, by the subject of their output.
type hubs struct {
	mu sync.Mutex // guards the field below, and who belongs to a hub
	by map[string]*hub
}

// newWaker adds a follower of a log. It must be stopped.
func (s *Store) newWaker(executionID, subject string) (*waker, error) {
	w := &waker{output: make(chan *nats.Msg, 8), facts: make(chan struct{}, 1)} // 8 chunks are 2 MiB
	s.hubs.mu.Lock()
	defer s.hubs.mu.Unlock()
	h := s.hubs.by[subject]
	if h == nil {
		var err error
		if h, err = s.newHub(executionID, subject); err != nil {
			return nil, err
		}
		s.hubs.by[subject] = h
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members[w] = struct{}{}
	w.hub = h
	w.stop = func() { s.hubs.leave(subject, h, w) }
	return w, nil
}

func (s *Store) newHub(executionID, subject string) (*hub, error) {
	facts, err := streams.AnyExecutionSubject(executionID)
	if err != nil {
		return nil, fmt.Errorf("log of execution %.60q: %w: %w", executionID, ErrBadRequest, err)
	}
	h := &hub{members: map[*waker]struct{}{}, looking: make(chan struct{}, 1)}
	for subject, tell := range map[string]func(*waker, *nats.Msg){subject: (*waker).take, facts: (*waker).hear} {
		sub, err := s.Bus.Conn.Subscribe(subject, func(m *nats.Msg) { h.each(m, tell) })
		if err != nil {
			h.close()
			return nil, fmt.Errorf("subscribe %s: %w", subject, err)
		}
		h.subs = append(h.subs, sub)
	}
	return h, nil
}

func (h *hub) each(m *nats.Msg, tell func(*waker, *nats.Msg)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.members {
		tell(w, m)
	}
}

func (h *hub) close() {
	for _, sub := range h.subs {
		_ = sub.Unsubscribe() // fails only when the connection has been closed
	}
}

// leave takes a follower away, and the hub with the last one.
func (a *hubs) leave(subject string, h *hub, w *waker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h.mu.Lock()
	delete(h.members, w)
	last := len(h.members) == 0
	h.mu.Unlock()
	if last {
		delete(a.by, subject)
		h.close()
	}
}

func (w *waker) take(m *nats.Msg) {
	select {
	case w.output <- m:
	default:
		w.dropped.Store(true)
	}
}

func (w *waker) hear(*nats.Msg) {
	w.hub.fresh.Store(false)
	signal(w.facts)
}
