package admission

import (
	"strings"
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// Control is what operators said of an action, a pack or all. The zero value is nothing.
type Control struct {
	Paused     bool
	Until      time.Time // when the pause ends by itself; zero: when Paused is taken back
	Draining   bool
	DrainAfter uint64 // sequence of QUEUE: what was queued later, for the first time, is refused while draining
	Limit      int    // in place of the declared one; 0: the declared one
}

// refuses tells whether a first attempt with that sequence comes too late.
func (c Control) refuses(seq uint64, attempt int32) bool {
	return c.Draining && attempt == 1 && seq > c.DrainAfter
}

// scope is a pack, or all packs together: what bounds several queues at once.
type scope struct {
	name    string // of the pack; "" for all
	control Control
	declared
	holding int
	parked  ring // queues that had somebody to admit when it had no room
	open    bool // it is in State.open
	alarm   *alarm
}

// declared is a number that definitions say, or, while they do not, the newest request.
type declared struct {
	limit   int
	defined bool
	hint    uint64 // sequence of the request that said it
}

// define takes a definition, and suggest what a request says; both tell whether that is a change.
func (d *declared) define(limit int) bool {
	d.defined = true
	return d.set(limit)
}

func (d *declared) suggest(limit int, seq uint64) bool {
	if d.defined || seq < d.hint {
		return false
	}
	d.hint = seq
	return d.set(limit)
}

// set takes a negative limit, which nobody can mean, for the strictest.
func (d *declared) set(limit int) bool {
	if limit < 0 {
		limit = 1
	}
	changed := d.limit != limit
	d.limit = limit
	return changed
}

func (s *scope) bound() int {
	if s.control.Limit > 0 {
		return s.control.Limit
	}
	return s.limit
}

func (s *scope) hasRoom() bool {
	return !s.control.Paused && (s.bound() == 0 || s.holding < s.bound())
}

func (s *State) packOf(name string) *scope {
	p, ok := s.packs[name]
	if !ok {
		p = &scope{name: name}
		s.packs[name] = p
	}
	return p
}

// opened notes that a scope may have room for the queues that wait for it.
func (s *State) opened(sc *scope) {
	if !sc.open && sc.parked.n > 0 && sc.hasRoom() {
		sc.open = true
		s.open = append(s.open, sc)
	}
}

// unpark gives a queue whose scope has room again.
func (s *State) unpark() (*queue, bool) {
	for len(s.open) > 0 {
		last := len(s.open) - 1
		sc := s.open[last]
		if sc.hasRoom() {
			if q, ok := sc.parked.pop(); ok {
				return q, true
			}
		}
		sc.open = false
		s.open = s.open[:last]
	}
	return nil, false
}

// SetControl takes in what operators said of a scope: "pack.action", "pack" or streams.ScopeAll. It tells
// whether there can be such a scope.
func (s *State) SetControl(name string, c Control, now time.Time) bool {
	if c.Paused && !c.Until.IsZero() && !c.Until.After(now) {
		c.Paused = false
	}
	switch {
	case name == streams.ScopeAll:
		s.controlScope(&s.all, c, now.UnixNano())
	case strings.Contains(name, "."):
		ref, err := pack.ParseRef(name)
		if err != nil {
			return false
		}
		s.controlAction(s.actionOf(ref), c, now.UnixNano())
	default:
		s.controlScope(s.packOf(name), c, now.UnixNano())
	}
	return true
}

func (s *State) controlAction(a *action, c Control, now int64) {
	a.control = c
	s.alarms.clear(&a.alarm)
	if c.Paused && !c.Until.IsZero() {
		s.alarms.set(&a.alarm, alarm{at: c.Until.UnixNano(), action: a})
	}
	s.refuseLate(a, now)
	s.wakeAction(a)
}

func (s *State) controlScope(sc *scope, c Control, now int64) {
	sc.control = c
	s.alarms.clear(&sc.alarm)
	if c.Paused && !c.Until.IsZero() {
		s.alarms.set(&sc.alarm, alarm{at: c.Until.UnixNano(), scope: sc})
	}
	for _, a := range s.actions {
		if sc == &s.all || sc == a.pack {
			s.refuseLate(a, now)
		}
	}
	s.wakeScope(sc)
}

// refuseLate refuses those of an action that were queued after a drain was said.
func (s *State) refuseLate(a *action, now int64) {
	if !a.control.Draining && !a.pack.control.Draining && !s.all.control.Draining {
		return
	}
	for _, q := range a.queues {
		for i := range q.lines {
			for _, e := range q.lines[i].all() {
				if s.late(e) {
					s.dismiss(e, Refuse, draining, now)
				}
			}
		}
	}
}

func (s *State) late(e *entry) bool {
	a := e.queue.action
	return a.control.refuses(e.seq, e.attempt) || a.pack.control.refuses(e.seq, e.attempt) || s.all.control.refuses(e.seq, e.attempt)
}

// wakeScope looks at everything that a scope may have held up.
func (s *State) wakeScope(sc *scope) {
	s.opened(sc)
	for _, a := range s.actions {
		if sc == &s.all || sc == a.pack {
			s.wakeAction(a)
		}
	}
}

func (s *State) wakeAction(a *action) {
	for _, q := range a.queues {
		s.wake(q)
	}
}

// SetPackLimit says how many executions of all actions of a pack may hold a slot at once; 0 means any number.
func (s *State) SetPackLimit(name string, limit int) {
	if p := s.packOf(name); p.define(limit) {
		s.opened(p)
	}
}

// ForgetPackLimit says that no definition speaks for a pack's limit any longer; see ForgetPolicy.
func (s *State) ForgetPackLimit(name string) {
	if p, ok := s.packs[name]; ok {
		p.defined = false
	}
}
