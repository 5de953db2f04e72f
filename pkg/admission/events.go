package admission

import "time"

// Queued takes in a message of QUEUE. Besides the verdict it gives the sequence of a message that has to go: this
// one, or the one that it takes the place of; 0 for none.
func (s *State) Queued(r Request, now time.Time) (v Verdict, stale uint64) {
	e, known := s.entries[r.ID]
	switch last, ended := s.ended.attempt(r.ID); {
	case known && !e.isNext(r):
		return s.queuedAgain(e, r)
	case !known && ended && last >= r.Attempt:
		return Stale, r.Seq
	}
	at := now.UnixNano()
	a := s.actionOf(r.Queue.Action)
	s.hint(a, r)
	if known { // the next attempt
		stale = e.message
		s.detach(e, at)
		s.ended.add(r.ID, r.Attempt-1)
		defer s.forget(e.queue) // unless it joins the same again
	}
	s.join(a.queueOf(r.Queue.Key), e, r, at)
	return Added, stale
}

// isNext tells whether a message puts the next attempt in line.
func (e *entry) isNext(r Request) bool {
	return r.Attempt > int(e.attempt) || r.Attempt == int(e.attempt) && e.phase == Delayed && r.Seq > e.message
}

// queuedAgain takes in a message for somebody who is as far already, or further.
func (s *State) queuedAgain(e *entry, r Request) (Verdict, uint64) {
	switch {
	case r.Seq == e.message:
		return Repeated, 0
	case r.Attempt < int(e.attempt):
		return Stale, r.Seq
	case r.Seq < e.message: // of an earlier attempt's time, read late
		return Repeated, 0
	}
	e.message = r.Seq
	return Repeated, 0
}

// join puts an attempt at its place in the line. The entry is nil for an execution that was not known.
func (s *State) join(q *queue, e *entry, r Request, now int64) {
	if e == nil {
		e = &entry{id: r.ID}
		s.entries[r.ID] = e
	}
	e.queue, e.seq, e.message, e.since = q, r.Seq, r.Seq, r.At.UnixNano()
	e.attempt, e.pool, e.admitted, e.foretold = int32(r.Attempt), s.poolOf(r.Pool), 0, 0
	e.priority, e.reject, e.leaving = min(max(r.Priority, High), Low), r.Reject, staying
	q.lineOf(e).add(e)
	s.waiting++
	if s.late(e) {
		s.dismiss(e, Refuse, draining, now)
		return
	}
	if r.Timeout > 0 {
		s.alarms.set(&e.alarm, alarm{at: e.since + int64(r.Timeout), entry: e})
	}
	if e.reject && r.Attempt == 1 {
		s.rejects = append(s.rejects, e)
	}
	e.foretold = s.foretellLast(e, now)
	s.wake(q)
}

// Dispatch records that an execution was handed to the runners by an earlier leader: it holds a slot, whatever
// the limit. It tells whether that is news.
func (s *State) Dispatch(id ID, now time.Time) bool {
	e, ok := s.entries[id]
	switch {
	case !ok:
		return false
	case e.phase == Waiting:
		s.take(e, now.UnixNano())
		return true
	case e.phase == Held && (e.alarm == nil || e.alarm.at <= now.UnixNano()):
		s.alarms.clear(&e.alarm)
		e.queue.again.remove(e)
		e.become(Dispatched)
		return true
	}
	return false
}

// Start records that a runner has claimed an attempt of an execution. It tells whether that is news.
func (s *State) Start(id ID, attempt int, now time.Time) bool {
	e, ok := s.entries[id]
	if !ok || attempt < int(e.attempt) || attempt == int(e.attempt) && e.phase == Started {
		return false
	}
	if e.phase.holds() {
		s.alarms.clear(&e.alarm)
		e.queue.again.remove(e)
	} else {
		s.take(e, now.UnixNano())
	}
	e.attempt = int32(attempt)
	e.become(Started)
	s.wake(e.queue)
	return true
}

// Retry records that another attempt of an execution is to follow the one before, not before a time. With hold it
// keeps its slot; otherwise it gives it back, and a Requeue will be decided when the time has come. It tells
// whether that is news.
func (s *State) Retry(id ID, attempt int, notBefore time.Time, hold bool, now time.Time) bool {
	e, ok := s.entries[id]
	if !ok || attempt <= int(e.attempt) {
		return false
	}
	at := now.UnixNano()
	s.ended.add(id, attempt-1)
	if hold {
		if e.phase.holds() {
			if e.phase != Held {
				s.noteHold(e, at)
			}
			e.queue.again.remove(e)
		} else {
			s.take(e, at)
		}
		e.become(Held)
	} else {
		s.detach(e, at)
		e.become(Delayed)
		e.queue.delayed.add(e)
	}
	e.attempt, e.since, e.foretold = int32(attempt), notBefore.UnixNano(), 0
	s.alarms.set(&e.alarm, alarm{at: notBefore.UnixNano(), entry: e})
	s.wake(e.queue) // who waited for its claim waits no longer
	return true
}

// End records that an execution has ended with that attempt, whether or not it had started, and frees its slot.
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
	s.detach(e, now.UnixNano())
	s.forget(e.queue)
	return p, true
}

// detach takes an execution out of wherever it stands, and frees its slot. Whoever calls it puts it elsewhere.
func (s *State) detach(e *entry, now int64) {
	q, was := e.queue, e.phase
	s.alarms.clear(&e.alarm)
	e.become(Waiting)
	switch {
	case was == Waiting:
		q.lineOf(e).remove(e)
		s.waiting--
	case was == Delayed:
		q.delayed.remove(e)
	case was == Leaving:
		q.leaving--
	case was.holds():
		if was != Held {
			s.noteHold(e, now)
		}
		q.again.remove(e)
		q.holding.remove(e)
		q.action.pack.holding--
		s.all.holding--
		s.opened(q.action.pack)
		s.opened(&s.all)
	}
	s.wake(q)
}

// forget drops a queue in which nobody is. One that is listed is dropped when its turn comes.
func (s *State) forget(q *queue) {
	if q.waiting()+q.holding.n+q.delayed.n+q.leaving > 0 || q.action.queues[q.key] != q {
		return
	}
	s.alarms.clear(&q.alarm)
	delete(q.action.queues, q.key)
}

// noteHold learns how long a slot was held.
func (s *State) noteHold(e *entry, now int64) {
	if e.admitted == 0 {
		return
	}
	held := seconds(now - e.admitted)
	e.queue.hold.add(held)
	e.queue.action.hold.add(held)
}

// take gives an execution without a slot one.
func (s *State) take(e *entry, now int64) {
	s.detach(e, now)
	q := e.queue
	q.holding.add(e)
	q.action.pack.holding++
	s.all.holding++
	e.admitted = now
	e.become(Dispatched)
}

// become changes the phase of an execution, and keeps count of those that no runner has claimed.
func (e *entry) become(p Phase) {
	if e.phase == Dispatched {
		e.queue.unclaimed--
	}
	if p == Dispatched {
		e.queue.unclaimed++
	}
	e.phase = p
}

// dismiss lets a waiting execution leave without having started.
func (s *State) dismiss(e *entry, k Kind, why leaving, now int64) {
	s.detach(e, now)
	e.leaving = why
	e.become(Leaving)
	e.queue.leaving++
	d := Decision{Kind: k, Admission: s.named(e)}
	if k == Refuse {
		d.Refused = classes[why]
	}
	s.decided = append(s.decided, d)
}
