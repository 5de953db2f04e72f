package admission

import (
	"math"
	"slices"
	"time"
)

const (
	// exactSlots bounds the slots that an estimate looks at one by one.
	exactSlots = 256
	// shortWait is what an estimate is not judged by: so short a wait says more about the machine than about it.
	shortWait = 50 * time.Millisecond
)

// foretell estimates when the execution at a position of a queue starts: every slot is held as long as those
// before it were, and every token comes when it is due. It knows nothing while somebody paused the queue, while it
// waits for a limit of its pack or of all, or before the first execution has ended.
func (s *State) foretell(q *queue, position int, now int64) (int64, bool) {
	a := q.action
	if a.control.Paused || a.pack.control.Paused || s.all.control.Paused || !s.all.hasRoom() || !a.pack.hasRoom() {
		return 0, false
	}
	at := now
	if limit := a.bound(); limit > 0 {
		hold := pick(q.hold, a.hold)
		if hold <= 0 {
			return 0, false
		}
		at = s.slotAt(q, limit, position, int64(hold), now)
	}
	return max(at, s.tokenAt(q, position, now)), true
}

// slotAt is when a queue's slots have become free so many times. Of very many slots it is taken that they become
// free one after the other at even distances.
func (s *State) slotAt(q *queue, limit, position int, hold, now int64) int64 {
	free := limit - q.holding.n
	if position <= free {
		return now
	}
	if limit > exactSlots {
		return now + hold*int64(position-max(free, 0))/int64(limit)
	}
	ends := make([]int64, 0, max(limit, q.holding.n))
	for range free {
		ends = append(ends, now)
	}
	for _, e := range q.holding.all() {
		ends = append(ends, max(e.admitted+hold, now))
	}
	slices.Sort(ends)
	ends = ends[len(ends)-limit:] // more run than the limit allows: the last of them give the slots
	return ends[(position-1)%limit] + int64((position-1)/limit)*hold
}

// foretellLast estimates the start of one that has just joined its line; 0 when nobody knows.
func (s *State) foretellLast(e *entry, now int64) int64 {
	at, ok := s.foretell(e.queue, s.position(e, now), now)
	if !ok {
		return 0
	}
	return at
}

// position is the place of a waiting execution in its line, from 1.
func (s *State) position(e *entry, now int64) int {
	q := e.queue
	before := 0
	for i := range q.lines {
		if l := &q.lines[i]; l == q.lineOf(e) {
			rank, _ := l.rank(e)
			before += rank
		} else {
			before += l.count(func(other *entry) bool { return other.before(e, s.aging, now) })
		}
	}
	return before + 1
}

// EstimateError tells how far an estimate of a wait was off, as a part of the wait; NaN for a wait that is too
// short to tell.
func EstimateError(foretold, waited time.Duration) float64 {
	if foretold < 0 || max(foretold, waited) < shortWait {
		return math.NaN()
	}
	return math.Abs(float64(foretold-waited)) / float64(max(waited, time.Millisecond))
}
