package admission

import (
	"container/heap"
	"time"
)

// alarm is a time at which something has to be looked at: exactly one of the pointers is set.
type alarm struct {
	at     int64 // nanoseconds since 1970
	index  int   // in the heap
	entry  *entry
	queue  *queue  // its rate has a token
	tokens *action // its rate has a token, for those of its queues that wait for one
	action *action // its pause ends
	scope  *scope  // its pause ends
}

type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].at < h[j].at }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap.
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	a.index = len(*h)
	*h = append(*h, a)
}

// Pop is for container/heap.
func (h *alarms) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}

// set puts an alarm in place of the one that is there.
func (h *alarms) set(place **alarm, a alarm) {
	h.clear(place)
	*place = &a
	heap.Push(h, *place)
}

func (h *alarms) clear(place **alarm) {
	if *place != nil {
		heap.Remove(h, (*place).index)
		*place = nil
	}
}

// pop gives an alarm that is due, or nil.
func (h *alarms) pop(now int64) *alarm {
	if len(*h) == 0 || (*h)[0].at > now {
		return nil
	}
	return heap.Pop(h).(*alarm)
}

// Wake says when Next may have a decision without any further event; false when never.
func (s *State) Wake() (time.Time, bool) {
	if len(s.alarms) == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, s.alarms[0].at), true
}

// ring goes over all alarms that are due.
func (s *State) ringAlarms(now int64) {
	for a := s.alarms.pop(now); a != nil; a = s.alarms.pop(now) {
		switch {
		case a.entry != nil:
			a.entry.alarm = nil
			s.onEntryDue(a.entry, now)
		case a.queue != nil:
			a.queue.alarm = nil
			s.wake(a.queue)
		case a.tokens != nil:
			tokens := a.tokens
			tokens.tokens = nil
			s.passToken(tokens, now)
		case a.action != nil:
			a.action.alarm = nil
			a.action.control.Paused = false
			s.wakeAction(a.action)
		case a.scope != nil:
			a.scope.alarm = nil
			a.scope.control.Paused = false
			s.wakeScope(a.scope)
		}
	}
}

// onEntryDue ends a wait that was too long, or brings on the next attempt.
func (s *State) onEntryDue(e *entry, now int64) {
	switch e.phase {
	case Waiting:
		s.dismiss(e, Expire, expired, now)
	case Delayed:
		s.decided = append(s.decided, Decision{Kind: Requeue, Admission: s.named(e)})
	case Held:
		e.queue.again.add(e)
		s.wake(e.queue)
	case Dispatched, Started, Leaving:
	}
}
