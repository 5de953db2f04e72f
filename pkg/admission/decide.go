package admission

import (
	"math"
	"time"
)

// Next gives the next decision. Call it until it has none: queues that have somebody to admit take turns.
func (s *State) Next(now time.Time) (Decision, bool) {
	at := now.UnixNano()
	s.ringAlarms(at)
	for {
		if d, ok := s.popDecided(); ok {
			return d, true
		}
		q, ok := s.nextQueue()
		if !ok {
			break
		}
		d, ok := s.admit(q, at)
		s.passToken(q.action, at)
		if ok {
			return d, true
		}
	}
	s.refuseWaiting(at)
	return s.popDecided()
}

func (s *State) popDecided() (Decision, bool) {
	if len(s.decided) == 0 {
		return Decision{}, false
	}
	d := s.decided[0]
	s.decided = s.decided[1:]
	if len(s.decided) == 0 {
		s.decided = nil
	}
	return d, true
}

// nextQueue gives a queue to look at. Those that kept their slots come first: they need no room anywhere.
func (s *State) nextQueue() (*queue, bool) {
	if q, ok := s.again.pop(); ok {
		q.again.listed = false
		return q, true
	}
	q, ok := s.ready.pop()
	if !ok {
		q, ok = s.unpark()
	}
	if ok {
		q.listed = false
	}
	return q, ok
}

// admit starts the first of a queue, if it may start now, and has the queue looked at again when it may.
func (s *State) admit(q *queue, now int64) (Decision, bool) {
	e := q.next(s.aging, now)
	if e == nil {
		return Decision{}, false
	}
	if why := s.blocked(q, e, now); why != unblocked {
		s.putOff(q, e, why, now)
		return Decision{}, false
	}
	if e.phase == Held {
		q.again.remove(e)
		e.admitted = now
		e.become(Dispatched)
	} else {
		s.take(e, now)
	}
	d := Decision{Kind: Admit, Admission: s.admission(e)}
	s.wake(q)
	return d, true
}

// putOff has a queue looked at again when what keeps its first from starting may be over. A claim, an end, a resume
// or a new limit wakes it by itself.
func (s *State) putOff(q *queue, e *entry, why block, now int64) {
	switch why {
	case byPack:
		s.park(q, &q.action.pack.parked)
	case byAll:
		s.park(q, &s.all.parked)
	case byRate:
		s.awaitToken(q, e, now)
	case unblocked, byPause, byLimit, byRunner:
	}
}

// block is what keeps the first of a queue from starting.
type block uint8

const (
	unblocked block = iota
	byPause
	byLimit
	byRunner
	byRate
	byPack
	byAll
)

// blocked tells what keeps an execution that is the next of its queue from starting. One that kept its slot needs
// no other. Where a limit makes a queue of it, the one before must have been claimed: of two that are handed to
// runners at once, the later might start first.
func (s *State) blocked(q *queue, e *entry, now int64) block {
	a := q.action
	held := e.phase == Held
	switch limit := a.bound(); {
	case a.control.Paused, held && (a.pack.control.Paused || s.all.control.Paused):
		return byPause
	case !held && limit > 0 && q.holding.n >= limit:
		return byLimit
	case !held && !s.all.hasRoom():
		return byAll
	case !held && !a.pack.hasRoom():
		return byPack
	case s.tokenAt(q, 1, now) > now:
		return byRate
	case limit > 0 && q.unclaimed > 0:
		return byRunner
	}
	return unblocked
}

// park lets a queue wait with others, unless it does already.
func (s *State) park(q *queue, with *ring) {
	if !q.listed {
		q.listed = true
		with.push(q)
	}
}

// list has a queue looked at by the next decisions.
func (s *State) list(q *queue) { s.park(q, &s.ready) }

// wake has a queue looked at, if it has somebody who may start. Where others wait for room, or for a token, it
// stands behind them.
func (s *State) wake(q *queue) {
	a := q.action
	switch limit := a.bound(); {
	case a.control.Paused, limit > 0 && q.unclaimed > 0:
	case q.again.n > 0:
		s.alarms.clear(&q.alarm)
		if !q.again.listed {
			q.again.listed = true
			s.again.push(q)
		}
	case q.waiting() == 0 || limit > 0 && q.holding.n >= limit:
	case s.all.parked.n > 0:
		s.park(q, &s.all.parked)
		s.opened(&s.all)
	case a.pack.parked.n > 0:
		s.park(q, &a.pack.parked)
		s.opened(a.pack)
	case a.parked.n > 0:
		s.park(q, &a.parked)
	default:
		s.alarms.clear(&q.alarm)
		s.list(q)
	}
}

// next gives who is to start next: one that kept its slot, else the first of the highest priority.
func (q *queue) next(aging, now int64) *entry {
	if e := q.again.first(); e != nil {
		return e
	}
	var best *entry
	for i := range q.lines {
		if e := q.lines[i].first(); e != nil && (best == nil || e.before(best, aging, now)) {
			best = e
		}
	}
	return best
}

// level is the priority that an execution has by now: it moves up one for each aging that it has waited.
func (e *entry) level(aging, now int64) int64 {
	level := int64(e.priority)
	if aging > 0 {
		level -= max(now-e.since, 0) / aging
	}
	return max(level, int64(High))
}

// before tells whether an execution is to start before another of its queue.
func (e *entry) before(other *entry, aging, now int64) bool {
	mine, its := e.level(aging, now), other.level(aging, now)
	return mine < its || mine == its && e.seq < other.seq
}

// refuseWaiting refuses those that had to start at once and could not. For whom a slot is free, and who only lets
// the one before be claimed first, that is still open.
func (s *State) refuseWaiting(now int64) {
	var open []*entry
	for _, e := range s.rejects {
		switch {
		case e.phase != Waiting || s.entries[e.id] != e || !e.reject || e.attempt != 1:
		case s.position(e, now) <= s.reserved(e.queue, now):
			open = append(open, e)
		default:
			s.dismiss(e, Refuse, full, now)
		}
	}
	s.rejects = open
}

// admission describes an execution that was given a slot just now, and learns from it.
func (s *State) admission(e *entry) Admission {
	a := s.named(e)
	a.Waited = time.Duration(max(e.admitted-e.since, 0))
	a.Foretold = -1
	if e.foretold != 0 {
		a.Foretold = time.Duration(max(e.foretold-e.since, 0))
		if off := EstimateError(a.Foretold, a.Waited); !math.IsNaN(off) {
			e.queue.action.errors.add(off)
		}
	}
	e.queue.wait.add(a.Waited.Seconds())
	e.queue.action.wait.add(a.Waited.Seconds())
	if key, fullAt := s.takeToken(e.queue, e.admitted); key != "" {
		a.Bucket, a.FullAt = key, time.Unix(0, fullAt).UTC()
	}
	return a
}

// named says which attempt of which execution a decision is about.
func (s *State) named(e *entry) Admission {
	return Admission{ID: e.id, Queue: e.queue.name(), Pool: s.pools[e.pool], Attempt: int(e.attempt)}
}
