package admission

import (
	"iter"
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// Place is where an execution stands.
type Place struct {
	ID       ID
	Queue    Queue
	Phase    Phase
	Position int    // 1 is next; 0 unless it waits for a slot
	Message  uint64 // sequence of its message in QUEUE
	Pool     string
	Attempt  int
	Priority Priority
	Since    time.Time // when it began to wait; of one between two attempts, when the next may start
	Starts   time.Time // estimate of when it starts; zero when nobody knows or it does not wait
	Refused  string    // of one that is leaving: the class of the error that it ends with
}

// Stats says how a queue, all queues of an action together, or a scope stand.
type Stats struct {
	Waiting       int
	Running       int // holding a slot
	Delayed       int // between two attempts, without a slot
	Limit         int // of each queue; 0: none
	Rate          pack.Rate
	Paused        bool
	Until         time.Time // when the pause ends by itself; zero: when somebody resumes it
	Draining      bool
	AvgWait       time.Duration // of those admitted lately
	Oldest        time.Duration // how long the first in line has waited
	Drain         time.Duration // estimate: until all that wait now have been admitted
	EstimateError float64       // median of how far estimates were off lately; negative: not known
	BlockedBy     string        // why the first in line does not start; see streams.BlockedByLimit and the others
}

// Find gives the place of an execution without its position and estimate, which Locate adds.
func (s *State) Find(id ID) (Place, bool) {
	e, ok := s.entries[id]
	if !ok {
		return Place{}, false
	}
	return s.place(e), true
}

// Locate gives the place of an execution with its position in line and an estimate.
func (s *State) Locate(id ID, now time.Time) (Place, bool) {
	e, ok := s.entries[id]
	if !ok {
		return Place{}, false
	}
	p := s.place(e)
	if e.phase == Waiting {
		s.putInLine(&p, e.queue, s.position(e, now.UnixNano()), now)
	}
	return p, true
}

// putInLine says where in line somebody stands. For whom a slot is free already, and who only lets the ones before
// be claimed first, the wait is over.
func (s *State) putInLine(p *Place, q *queue, position int, now time.Time) {
	p.Position = max(position-s.reserved(q, now.UnixNano()), 0)
	if at, ok := s.foretell(q, position, now.UnixNano()); ok {
		p.Starts = time.Unix(0, at).UTC()
	}
}

// reserved is how many slots are free for those of a queue who wait for a claim and for nothing else.
func (s *State) reserved(q *queue, now int64) int {
	if q.unclaimed == 0 || s.blocked(q, q.next(s.aging, now), now) != byRunner {
		return 0
	}
	return max(q.action.bound()-q.holding.n, 0)
}

// HasEnded tells whether that attempt is known to have ended lately.
func (s *State) HasEnded(id ID, attempt int) bool {
	last, ok := s.ended.attempt(id)
	return ok && last >= attempt
}

func (s *State) place(e *entry) Place {
	return Place{
		ID: e.id, Queue: e.queue.name(), Phase: e.phase, Message: e.message, Pool: s.pools[e.pool], Attempt: int(e.attempt),
		Priority: e.priority, Since: time.Unix(0, e.since).UTC(), Refused: classes[e.leaving],
	}
}

// Counts gives how many executions wait and how many hold a slot, over all queues.
func (s *State) Counts() (waiting, holding int) { return s.waiting, s.all.holding }

// Line lists a queue: those that hold a slot, then the waiting in the order in which they are to start, then those
// between two attempts; at most limit after the first skip.
func (s *State) Line(name Queue, skip, limit int, now time.Time) []Place {
	a, ok := s.actions[name.Action]
	if !ok {
		return nil
	}
	q, ok := a.queues[name.Key]
	if !ok {
		return nil
	}
	var places []Place
	add := func(e *entry, position int) bool {
		if skip > 0 {
			skip--
			return true
		}
		p := s.place(e)
		if position > 0 {
			s.putInLine(&p, q, position, now)
		}
		places = append(places, p)
		return len(places) < limit
	}
	s.walk(q, now.UnixNano(), add)
	return places
}

// walk goes over a queue in order until visit says that it is enough.
func (s *State) walk(q *queue, now int64, visit func(e *entry, position int) bool) {
	for _, e := range q.holding.all() {
		if !visit(e, 0) {
			return
		}
	}
	lines := [3][]*entry{q.lines[0].all(), q.lines[1].all(), q.lines[2].all()}
	for position := 1; ; position++ {
		best := -1
		for i, l := range lines {
			if len(l) > 0 && (best < 0 || l[0].before(lines[best][0], s.aging, now)) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		e := lines[best][0]
		lines[best] = lines[best][1:]
		if !visit(e, position) {
			return
		}
	}
	for _, e := range q.delayed.all() {
		if !visit(e, 0) {
			return
		}
	}
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

// Busy tells whether anybody is in the queues of an action.
func (s *State) Busy(ref pack.Ref) bool {
	a, ok := s.actions[ref]
	return ok && len(a.queues) > 0
}

// Load is how much work an action has.
type Load struct {
	Waiting, Running int
	Oldest           time.Duration
}

// Loads gives the work of every action that has some, all keys together.
func (s *State) Loads(now time.Time) map[pack.Ref]Load {
	loads := map[pack.Ref]Load{}
	for ref, a := range s.actions {
		var l Load
		for _, q := range a.queues {
			l.Waiting, l.Running = l.Waiting+q.waiting(), l.Running+q.holding.n
			l.Oldest = max(l.Oldest, q.oldest(now.UnixNano()))
		}
		if len(a.queues) > 0 {
			loads[ref] = l
		}
	}
	return loads
}

// oldest is how long those at the front of a queue have waited.
func (q *queue) oldest(now int64) (longest time.Duration) {
	for i := range q.lines {
		if e := q.lines[i].first(); e != nil {
			longest = max(longest, time.Duration(now-e.since))
		}
	}
	return longest
}

// Controlled walks the actions that operators have said something of.
func (s *State) Controlled() iter.Seq[pack.Ref] {
	return func(yield func(pack.Ref) bool) {
		for ref, a := range s.actions {
			if a.control != (Control{}) && !yield(ref) {
				return
			}
		}
	}
}

// Stats says how one queue stands.
func (s *State) Stats(name Queue, now time.Time) Stats {
	a, ok := s.actions[name.Action]
	if !ok {
		return Stats{EstimateError: unknown}
	}
	st := s.statsOf(a)
	if q, ok := a.queues[name.Key]; ok {
		s.include(&st, q, now.UnixNano())
		st.AvgWait = pick(q.wait, a.wait)
	}
	return st
}

// EstimateError gives the median of how far estimates for an action were off lately; false when nobody knows.
func (s *State) EstimateError(ref pack.Ref) (float64, bool) {
	a, ok := s.actions[ref]
	if !ok {
		return 0, false
	}
	return a.errors.median()
}

// ActionStats says how all queues of an action stand together: the oldest wait and the estimate are those of
// the slowest.
func (s *State) ActionStats(ref pack.Ref, now time.Time) Stats {
	a, ok := s.actions[ref]
	if !ok {
		return Stats{EstimateError: unknown}
	}
	st := s.statsOf(a)
	for _, q := range a.queues {
		s.include(&st, q, now.UnixNano())
	}
	return st
}

// ScopeStats says how a pack stands, or all packs together for streams.ScopeAll.
func (s *State) ScopeStats(name string, now time.Time) Stats {
	sc := &s.all
	if name != streams.ScopeAll {
		p, ok := s.packs[name]
		if !ok {
			return Stats{EstimateError: unknown}
		}
		sc = p
	}
	c := sc.control
	st := Stats{Limit: sc.bound(), Paused: c.Paused, Until: c.Until, Draining: c.Draining, EstimateError: unknown}
	for _, a := range s.actions {
		if sc == &s.all || sc == a.pack {
			for _, q := range a.queues {
				s.include(&st, q, now.UnixNano())
			}
		}
	}
	return st
}

// unknown is the error of estimates that nobody has made.
const unknown = -1

// statsOf says of an action what holds for all its queues. A pause or a drain of its pack, or of all, is its own.
func (s *State) statsOf(a *action) Stats {
	st := Stats{Limit: a.bound(), Rate: a.rate, AvgWait: duration(a.wait.mean), EstimateError: unknown}
	for _, c := range []Control{a.control, a.pack.control, s.all.control} {
		if c.Paused && (!st.Paused || c.Until.IsZero() || !st.Until.IsZero() && c.Until.After(st.Until)) {
			st.Until = c.Until
		}
		st.Paused, st.Draining = st.Paused || c.Paused, st.Draining || c.Draining
	}
	if median, ok := a.errors.median(); ok {
		st.EstimateError = median
	}
	return st
}

func (s *State) include(st *Stats, q *queue, now int64) {
	st.Waiting += q.waiting()
	st.Running += q.holding.n
	st.Delayed += q.delayed.n
	st.Oldest = max(st.Oldest, q.oldest(now))
	if last := q.waiting(); last > 0 {
		if at, ok := s.foretell(q, last, now); ok {
			st.Drain = max(st.Drain, time.Duration(at-now))
		}
	}
	if st.BlockedBy == "" {
		st.BlockedBy = s.whyBlocked(q, now)
	}
}

// whyBlocked names what the first in line waits for.
func (s *State) whyBlocked(q *queue, now int64) string {
	e := q.next(s.aging, now)
	if e == nil {
		return ""
	}
	why := s.blocked(q, e, now)
	switch {
	case why == byPause, why == byPack && q.action.pack.control.Paused, why == byAll && s.all.control.Paused:
		return streams.BlockedByPause
	case why == byLimit:
		return streams.BlockedByLimit
	case why == byRunner:
		return streams.BlockedByRunner
	case why == byRate:
		return streams.BlockedByRate
	case why == byPack:
		return streams.BlockedByPackLimit
	case why == byAll:
		return streams.BlockedByAllLimit
	}
	return ""
}

func pick(own, all average) time.Duration {
	if own.n > 0 {
		return duration(own.mean)
	}
	return duration(all.mean)
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
