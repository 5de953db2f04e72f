package admission

import (
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// ID is the id of an execution.
type ID = uuid.UUID

// Queue names a line: the executions of one action with one concurrency key. The key is "" where the action
// declares none.
type Queue struct {
	Action pack.Ref
	Key    string
}

// Request is an attempt of an execution that entered its line.
type Request struct {
	ID        ID
	Queue     Queue
	Seq       uint64 // of its message in QUEUE: its place in the order
	Pool      string
	Attempt   int
	At        time.Time // when its message was stored in QUEUE, by the server's clock: from then on it waits
	Policy    Policy    // what the action said when it was requested
	PackLimit int       // what the pack said when it was requested; 0: no limit
	Priority  Priority
	Timeout   time.Duration // how long it may wait; 0: for ever
	Reject    bool          // it starts at once or not at all
}

// Policy is what an action says of the queues of its keys. It is comparable.
type Policy struct {
	Limit int // how many may hold a slot at once in each queue; 0: any number
	Rate  pack.Rate
}

// Priority orders the waiting of a queue. The zero value is the normal one.
type Priority int8

// The priorities, in the order in which they are admitted.
const (
	High   Priority = -1
	Normal Priority = 0
	Low    Priority = 1
)

// Admission is the decision that an attempt may start. It holds a slot from now on.
type Admission struct {
	ID      ID
	Queue   Queue
	Pool    string
	Attempt int
	Waited  time.Duration
	// Foretold is the wait that was estimated when it entered the line; negative when there was no estimate.
	Foretold time.Duration
	// Bucket is the streams.RateKey of the token bucket that a token was taken from, which is full again at
	// FullAt; "" without a rate. A leader that lets it start without keeping this forgets a token.
	Bucket string
	FullAt time.Time
}

// Decision is what is to be done about an execution.
type Decision struct {
	Kind Kind
	Admission
	Refused string // of Refuse: the class of the error that it ends with, streams.ClassQueueFull or ClassQueueDraining
}

// Kind is what a decision decides.
type Kind uint8

// The kinds of decisions.
const (
	Admit   Kind = iota // hand it to the runners
	Refuse              // end it: it may not wait
	Expire              // end it: it has waited too long
	Requeue             // put the attempt in line: its delay is over
)

// Verdict is what a queued execution was found to be.
type Verdict int

// The verdicts.
const (
	Added    Verdict = iota // it stands in line now
	Repeated                // it stood there already; its message may be a newer one
	Stale                   // it has ended, or is further: its message has to go
)

// Phase is how far an execution in the machine has come.
type Phase uint8

// The phases.
const (
	Waiting    Phase = iota
	Dispatched       // admitted; no runner is known to have claimed it
	Started          // claimed by a runner
	Delayed          // between two attempts, without a slot
	Held             // between two attempts, with a slot
	Leaving          // refused or expired; its end is not known yet
)

// holds tells whether an execution in that phase holds a slot.
func (p Phase) holds() bool { return p == Dispatched || p == Started || p == Held }

// leaving says why an execution leaves without having started.
type leaving uint8

const (
	staying leaving = iota
	full
	draining
	expired
)

// classes are the errors that they end with.
var classes = [...]string{staying: "", full: streams.ClassQueueFull, draining: streams.ClassQueueDraining, expired: streams.ClassQueueTimeout}

// entry is one execution in the machine. There may be hundreds of thousands: keep it small.
type entry struct {
	id       ID
	queue    *queue
	alarm    *alarm // of one that may wait too long, or whose next attempt has a delay
	seq      uint64 // its place in the order
	message  uint64 // sequence of its latest message in QUEUE
	since    int64  // when it began to wait; nanoseconds since 1970, as all times here
	admitted int64  // when it got its slot
	foretold int64  // when it was expected to start; 0: nobody knew
	attempt  int32
	pool     uint16 // index into State.pools
	phase    Phase
	priority Priority
	leaving  leaving
	reject   bool
}

// queue is lines, and those that hold a slot. It exists while it has any.
type queue struct {
	action    *action
	key       string
	bucket    string  // streams.RateKey, once it was needed
	lines     [3]line // the waiting, by priority
	holding   line
	again     heldLine // of those holding, who is to start its next attempt
	delayed   line
	leaving   int     // how many are on their way out
	unclaimed int     // how many were admitted, and no runner has claimed them yet
	wait      average // of those admitted, in seconds
	hold      average // from admission to end, in seconds
	alarm     *alarm
	listed    bool // it is in State.ready, or parked at a scope or a rate
}

// heldLine is a line of executions that kept their slots.
type heldLine struct {
	line
	listed bool // its queue is in State.again
}

// action holds what is common to the queues of an action.
type action struct {
	ref    pack.Ref
	pack   *scope
	queues map[string]*queue
	declared
	rate    pack.Rate
	control Control
	alarm   *alarm // of its pause
	tokens  *alarm // of its rate, for its parked queues
	parked  ring   // queues that wait for a token of the action's bucket
	wait    average
	hold    average
	errors  sample // how far estimates were off
}

func (a *action) bound() int {
	if a.control.Limit > 0 {
		return a.control.Limit
	}
	return a.limit
}

// State is the machine. Make it with New.
type State struct {
	aging   int64 // nanoseconds after which a priority moves up; 0: never
	actions map[pack.Ref]*action
	packs   map[string]*scope
	all     scope
	entries map[ID]*entry
	ended   memory
	buckets buckets
	alarms  alarms
	ready   ring     // queues that may have somebody to admit
	again   ring     // queues of which somebody who kept its slot may start again
	open    []*scope // scopes with room that queues may be parked at
	decided []Decision
	rejects []*entry // those that start now or not at all
	pools   []string
	waiting int
}

// New gives a machine in which nobody waits. An execution moves up one priority each time it has waited for
// aging; 0 means never.
func New(aging time.Duration) *State {
	return &State{
		aging: int64(aging), actions: map[pack.Ref]*action{}, packs: map[string]*scope{}, entries: map[ID]*entry{},
		ended: newMemory(), buckets: buckets{},
	}
}

// SetPolicy takes in what the definition of an action says. It holds for every decision from now on and takes no
// slot away.
func (s *State) SetPolicy(ref pack.Ref, p Policy) {
	a := s.actionOf(ref)
	changed := a.define(p.Limit)
	s.setRate(a, p.Rate)
	if changed {
		s.wakeAction(a)
	}
}

// ForgetPolicy says that no definition speaks for an action any longer: the last known policy stays until a new
// request carries another.
func (s *State) ForgetPolicy(ref pack.Ref) {
	if a, ok := s.actions[ref]; ok {
		a.defined = false
	}
}

// setRate lets who waits for a token of the former rate be looked at again under the new one.
func (s *State) setRate(a *action, r pack.Rate) {
	if a.rate == r {
		return
	}
	a.rate = r
	s.alarms.clear(&a.tokens)
	for q, ok := a.parked.pop(); ok; q, ok = a.parked.pop() {
		q.listed = false
		s.list(q)
	}
	for _, q := range a.queues {
		q.bucket = ""
		if q.alarm != nil {
			s.alarms.clear(&q.alarm)
			s.list(q)
		}
	}
}

// hint takes what a request carries while no definition has said it. The newest request knows best.
func (s *State) hint(a *action, r Request) {
	if !a.defined && r.Seq >= a.declared.hint {
		s.setRate(a, r.Policy.Rate)
	}
	if a.suggest(r.Policy.Limit, r.Seq) {
		s.wakeAction(a)
	}
	if a.pack.suggest(r.PackLimit, r.Seq) {
		s.opened(a.pack)
	}
}

func (s *State) actionOf(ref pack.Ref) *action {
	a, ok := s.actions[ref]
	if !ok {
		a = &action{ref: ref, pack: s.packOf(ref.Pack), queues: map[string]*queue{}}
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

func (q *queue) name() Queue { return Queue{Action: q.action.ref, Key: q.key} }

func (q *queue) waiting() int { return q.lines[0].n + q.lines[1].n + q.lines[2].n }

func (q *queue) lineOf(e *entry) *line { return &q.lines[e.priority-High] }

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
