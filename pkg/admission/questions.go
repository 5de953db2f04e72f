package admission

import (
	"iter"
	"time"

	"github.com/attune/attune/pkg/pack"
)

// Place is where an execution stands.
type Place struct {
	ID        ID
	Queue     Queue
	Phase     Phase
	Position  int    // 1 is next; 0 unless it waits
	Message   uint64 // sequence of its message in QUEUE
	Pool      string
	Attempt   int
	Requested time.Time
}

// Stats says how a queue, or all queues of an action together, stand.
type Stats struct {
	Waiting int
	Running int // holding a slot
	Limit   int // of each queue; 0: none
	Paused  bool
	AvgWait time.Duration // of those admitted lately
	Oldest  time.Duration // how long the first in line has waited
	Drain   time.Duration // estimate: until all that wait now have been admitted
}

// Find gives the place of an execution without its position, which Locate adds.
func (s *State) Find(id ID) (Place, bool) {
	e, ok := s.entries[id]
	if !ok {
		return Place{}, false
	}
	return s.place(e), true
}

// Locate gives the place of an execution with its position in line.
func (s *State) Locate(id ID) (Place, bool) {
	e, ok := s.entries[id]
	if !ok {
		return Place{}, false
	}
	p := s.place(e)
	if rank, ok := e.queue.waiting.rank(e); ok {
		p.Position = rank + 1
	}
	return p, true
}

// HasEnded tells whether that attempt is known to have ended lately.
func (s *State) HasEnded(id ID, attempt int) bool {
	last, ok := s.ended.attempt(id)
	return ok && last >= attempt
}

func (s *State) place(e *entry) Place {
	return Place{
		ID: e.id, Queue: e.queue.name(), Phase: e.phase, Message: e.message,
		Pool: s.pools[e.pool], Attempt: int(e.attempt), Requested: time.Unix(0, e.requested).UTC(),
	}
}

// Counts gives how many executions wait and how many hold a slot, over all queues.
func (s *State) Counts() (waiting, holding int) { return s.waiting, s.holding }

// Line lists a queue: those that hold a slot, then the waiting, both in order, at most limit after the first skip.
func (s *State) Line(name Queue, skip, limit int) []Place {
	a, ok := s.actions[name.Action]
	if !ok {
		return nil
	}
	q, ok := a.queues[name.Key]
	if !ok {
		return nil
	}
	places := make([]Place, 0, min(limit, q.holding.n+q.waiting.n))
	q.holding.each(skip, limit, func(_ int, e *entry) { places = append(places, s.place(e)) })
	q.waiting.each(max(skip-q.holding.n, 0), limit-len(places), func(rank int, e *entry) {
		p := s.place(e)
		p.Position = rank + 1
		places = append(places, p)
	})
	return places
}

// Queues walks the queues that somebody waits or holds a slot in.
func (s *State) Queues() iter.Seq[Queue] {
	return func(yield func(Queue) bool) {
		for _, a := range s.actions {
			for _, q := range a.queues {
				if !yield(q.name()) {
					return
				}
			}
		}
	}
}

// Paused walks the actions that are paused.
func (s *State) Paused() iter.Seq[pack.Ref] {
	return func(yield func(pack.Ref) bool) {
		for ref, a := range s.actions {
			if a.paused && !yield(ref) {
				return
			}
		}
	}
}

// Stats says how one queue stands.
func (s *State) Stats(name Queue, now time.Time) Stats {
	a, ok := s.actions[name.Action]
	if !ok {
		return Stats{}
	}
	st := a.stats()
	if q, ok := a.queues[name.Key]; ok {
		st.include(q, now)
		st.AvgWait = pick(q.wait, a.wait)
		st.Drain = st.drain(q.waiting.n, pick(q.hold, a.hold))
	}
	return st
}

// ActionStats says how all queues of an action stand together: the oldest wait and the estimate are those of
// the slowest.
func (s *State) ActionStats(ref pack.Ref, now time.Time) Stats {
	a, ok := s.actions[ref]
	if !ok {
		return Stats{}
	}
	st := a.stats()
	for _, q := range a.queues {
		st.include(q, now)
		st.Drain = max(st.Drain, st.drain(q.waiting.n, pick(q.hold, a.hold)))
	}
	return st
}

func (a *action) stats() Stats {
	return Stats{Limit: a.limit, Paused: a.paused, AvgWait: duration(a.wait.mean)}
}

func (st *Stats) include(q *queue, now time.Time) {
	st.Waiting += q.waiting.n
	st.Running += q.holding.n
	if e := q.waiting.first(); e != nil {
		st.Oldest = max(st.Oldest, time.Duration(now.UnixNano()-e.requested))
	}
}

// drain estimates how long it takes until so many have been admitted, when each slot is held that long.
func (st *Stats) drain(waiting int, hold time.Duration) time.Duration {
	if st.Limit == 0 {
		return 0
	}
	return time.Duration(float64(hold) * float64(waiting) / float64(st.Limit))
}

func pick(own, all average) time.Duration {
	if own.n > 0 {
		return duration(own.mean)
	}
	return duration(all.mean)
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
