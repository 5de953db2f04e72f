package admission

import (
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/pack"
)

// ID is the id of an execution.
type ID = uuid.UUID

// Queue names a line: the executions of one action with one concurrency key. The key is "" where the action
// declares none.
type Queue struct {
	Action pack.Ref
	Key    string
}

// Request is an execution that entered its line.
type Request struct {
	ID      ID
	Queue   Queue
	Seq     uint64 // of its message in QUEUE: its place in the order
	Limit   int    // the action's limit when it was requested; 0: none
	Pool    string
	Attempt int
	At      time.Time // when it was requested
}

// Admission is the decision that an execution may start. It holds a slot of its queue from now on.
type Admission struct {
	ID      ID
	Queue   Queue
	Pool    string
	Attempt int
	Waited  time.Duration
}

// Verdict is what a queued execution was found to be.
type Verdict int

// The verdicts.
const (
	Added    Verdict = iota // it stands in line now
	Repeated                // it stood there already; its message may be a newer one
	Stale                   // it has ended: its message has to go
)

// Phase is how far an execution in the machine has come.
type Phase uint8

// The phases.
const (
	Waiting    Phase = iota
	Dispatched       // admitted; no runner is known to have claimed it
	Started          // claimed by a runner
)

// entry is one execution in the machine. There may be hundreds of thousands: keep it small.
type entry struct {
	id        ID
	queue     *queue
	seq       uint64 // its place in the order
	message   uint64 // sequence of its latest message in QUEUE
	requested int64  // nanoseconds since 1970
	admitted  int64
	attempt   int32
	pool      uint16 // index into State.pools
	phase     Phase
}

// queue is a line and those of it that hold a slot. It exists while it has either.
type queue struct {
	action  *action
	key     string
	waiting line
	holding line
	wait    average // of those admitted, in seconds
	hold    average // from admission to end, in seconds
	ready   bool    // it is in State.ready
}

// action holds what is common to the queues of an action.
type action struct {
	ref     pack.Ref
	queues  map[string]*queue
	defined bool // limit is that of the definition and no longer the one that requests carry
	limit   int
	hint    uint64 // sequence of the request that said the limit
	paused  bool
	wait    average
	hold    average
}

// State is the machine. Make it with New.
type State struct {
	actions map[pack.Ref]*action
	entries map[ID]*entry
	ended   memory
	ready   ring // queues that may have somebody to admit
	pools   []string
	waiting int
	holding int
}

// New gives a machine in which nobody waits.
func New() *State {
	return &State{actions: map[pack.Ref]*action{}, entries: map[ID]*entry{}, ended: newMemory()}
}

// Queued puts an execution in line.
func (s *State) Queued(r Request) Verdict {
	if last, ok := s.ended.attempt(r.ID); ok && last >= r.Attempt {
		return Stale
	}
	a := s.actionOf(r.Queue.Action)
	s.hint(a, r)
	if e, ok := s.entries[r.ID]; ok {
		e.message = max(e.message, r.Seq)
		return Repeated
	}
	q := a.queueOf(r.Queue.Key)
	e := &entry{
		id: r.ID, queue: q, seq: r.Seq, message: r.Seq, requested: r.At.UnixNano(),
		attempt: int32(r.Attempt), pool: s.poolOf(r.Pool),
	}
	s.entries[r.ID] = e
	q.waiting.add(e)
	s.waiting++
	s.wake(q)
	return Added
}

// hint takes the limit that a request carries while no definition has said another. The newest request knows best.
func (s *State) hint(a *action, r Request) {
	if a.defined || r.Seq < a.hint {
		return
	}
	a.hint = r.Seq
	s.setLimit(a, r.Limit)
}

// setLimit takes a negative limit, which nobody can mean, for the strictest.
func (s *State) setLimit(a *action, limit int) {
	if limit < 0 {
		limit = 1
	}
	if a.limit != limit {
		a.limit = limit
		s.wakeAll(a)
	}
}

// Dispatch records that an execution was handed to the runners by an earlier leader: it holds a slot, whatever
// the limit. It tells whether that is news.
func (s *State) Dispatch(id ID, now time.Time) bool {
	e, ok := s.entries[id]
	if !ok || e.phase != Waiting {
		return false
	}
	s.take(e, now)
	return true
}

// Start records that a runner has claimed an attempt of an execution. It tells whether that is news.
func (s *State) Start(id ID, attempt int, now time.Time) bool {
	e, ok := s.entries[id]
	if !ok || attempt < int(e.attempt) || e.phase == Started {
		return false
	}
	if e.phase == Waiting {
		s.take(e, now)
	}
	e.phase = Started
	return true
}

// End records that an attempt of an execution has ended, whether or not it had started, and frees its slot.
// It gives what was known of it; a late message of that attempt will be found stale.
func (s *State) End(id ID, attempt int, now time.Time) (Place, bool) {
	e, ok := s.entries[id]
	if ok && attempt < int(e.attempt) {
		return Place{}, false
	}
	s.ended.add(id, attempt)
	if !ok {
		return Place{}, false
	}
	p := s.place(e)
	delete(s.entries, id)
	s.leave(e, now)
	return p, true
}

func (s *State) leave(e *entry, now time.Time) {
	q := e.queue
	if e.phase == Waiting {
		q.waiting.remove(e)
		s.waiting--
	} else {
		q.holding.remove(e)
		s.holding--
		held := seconds(now.UnixNano() - e.admitted)
		q.hold.add(held)
		q.action.hold.add(held)
	}
	s.wake(q)
	if q.waiting.n == 0 && q.holding.n == 0 {
		delete(q.action.queues, q.key)
	}
}

// take gives a waiting execution a slot.
func (s *State) take(e *entry, now time.Time) {
	q := e.queue
	q.waiting.remove(e)
	q.holding.add(e)
	s.waiting--
	s.holding++
	e.phase = Dispatched
	e.admitted = now.UnixNano()
}

// SetLimit says how many executions of each queue of an action may hold a slot at once; 0 means any number.
// It holds for every decision from now on and takes no slot away.
func (s *State) SetLimit(ref pack.Ref, limit int) {
	a := s.actionOf(ref)
	a.defined = true
	s.setLimit(a, limit)
}

// ForgetLimit says that no definition speaks for an action's limit any longer: the last known one stays until
// a new request carries another.
func (s *State) ForgetLimit(ref pack.Ref) {
	if a, ok := s.actions[ref]; ok {
		a.defined = false
	}
}

// Pause stops admissions of an action; what holds a slot goes on.
func (s *State) Pause(ref pack.Ref) { s.actionOf(ref).paused = true }

// Resume ends a pause.
func (s *State) Resume(ref pack.Ref) {
	a, ok := s.actions[ref]
	if !ok || !a.paused {
		return
	}
	a.paused = false
	s.wakeAll(a)
}

// Next gives the next execution to start, and takes a slot for it. Call it until it has none: queues that have
// somebody to admit take turns.
func (s *State) Next(now time.Time) (Admission, bool) {
	for {
		q, ok := s.ready.pop()
		if !ok {
			return Admission{}, false
		}
		q.ready = false
		if !q.mayAdmit() {
			continue
		}
		e := q.waiting.first()
		s.take(e, now)
		s.wake(q)
		return s.admission(e), true
	}
}

func (s *State) admission(e *entry) Admission {
	waited := max(e.admitted-e.requested, 0)
	e.queue.wait.add(seconds(waited))
	e.queue.action.wait.add(seconds(waited))
	return Admission{
		ID: e.id, Queue: e.queue.name(), Pool: s.pools[e.pool], Attempt: int(e.attempt), Waited: time.Duration(waited),
	}
}

func (q *queue) mayAdmit() bool {
	a := q.action
	return q.waiting.n > 0 && !a.paused && (a.limit == 0 || q.holding.n < a.limit)
}

func (q *queue) name() Queue { return Queue{Action: q.action.ref, Key: q.key} }

func (s *State) wake(q *queue) {
	if !q.ready && q.mayAdmit() {
		q.ready = true
		s.ready.push(q)
	}
}

func (s *State) wakeAll(a *action) {
	for _, q := range a.queues {
		s.wake(q)
	}
}

func (s *State) actionOf(ref pack.Ref) *action {
	a, ok := s.actions[ref]
	if !ok {
		a = &action{ref: ref, queues: map[string]*queue{}}
		s.actions[ref] = a
	}
	return a
}

func (a *action) queueOf(key string) *queue {
	q, ok := a.queues[key]
	if !ok {
		q = &queue{action: a, key: key}
		a.queues[key] = q
	}
	return q
}

// maxPools bounds the pools that are told apart; an installation has a handful.
const maxPools = 1 << 16

func (s *State) poolOf(name string) uint16 {
	for i, p := range s.pools {
		if p == name {
			return uint16(i)
		}
	}
	if len(s.pools) == maxPools {
		return 0
	}
	s.pools = append(s.pools, name)
	return uint16(len(s.pools) - 1)
}
