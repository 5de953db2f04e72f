package admission

import (
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// buckets are the token buckets by streams.RateKey, each the time at which it is full again. That one number says
// how many tokens it holds (the generic cell rate algorithm); a bucket that is full needs none.
type buckets map[string]int64

// sweepFrom is the number of buckets from which those that are full are thrown away.
const sweepFrom = 1024

// put keeps a bucket.
func (b buckets) put(key string, fullAt, now int64) {
	if len(b) >= sweepFrom && len(b)&(len(b)-1) == 0 { // at each doubling
		for k, at := range b {
			if at <= now {
				delete(b, k)
			}
		}
	}
	b[key] = fullAt
}

// interval is the time between two tokens, rounded up: a rate is kept to the last nanosecond.
func interval(r pack.Rate) int64 { return (int64(r.Period) + int64(r.Count) - 1) / int64(r.Count) }

// tolerance is how long before it is full a bucket still has a token.
func tolerance(r pack.Rate) int64 {
	burst := r.Burst
	if burst == 0 {
		burst = r.Count
	}
	return interval(r) * int64(burst-1)
}

// tokenAt is when a queue's bucket has its n-th token from now on.
func (s *State) tokenAt(q *queue, n int, now int64) int64 {
	r := q.action.rate
	if r.Count == 0 {
		return now
	}
	return max(now, max(s.buckets[q.rateKey()], now)+int64(n-1)*interval(r)-tolerance(r))
}

// awaitToken has a queue looked at again when there is a token for it. Queues that share a bucket take turns, but
// for those whose next kept its slot.
func (s *State) awaitToken(q *queue, e *entry, now int64) {
	at := s.tokenAt(q, 1, now)
	a := q.action
	if !a.rate.Action || e.phase == Held {
		s.alarms.set(&q.alarm, alarm{at: at, queue: q})
		return
	}
	s.park(q, &a.parked)
	s.passToken(a, now)
}

// passToken has the next of the queues that share a bucket looked at, when there is a token. Whoever was looked at
// passes it on, whether it was used or not.
func (s *State) passToken(a *action, now int64) {
	if a.parked.n == 0 {
		return
	}
	if at := s.tokenAt(a.parked.peek(), 1, now); at > now {
		s.alarms.set(&a.tokens, alarm{at: at, tokens: a})
		return
	}
	q, _ := a.parked.pop()
	q.listed = false
	s.list(q)
}

// takeToken uses one and gives the new state of the bucket.
func (s *State) takeToken(q *queue, now int64) (key string, fullAt int64) {
	r := q.action.rate
	if r.Count == 0 {
		return "", 0
	}
	key = q.rateKey()
	fullAt = max(s.buckets[key], now) + interval(r)
	s.buckets.put(key, fullAt, now)
	return key, fullAt
}

// rateKey names the bucket of a queue.
func (q *queue) rateKey() string {
	if q.bucket == "" {
		key := q.key
		if q.action.rate.Action {
			key = ""
		}
		q.bucket = streams.RateKey(q.action.ref.String(), key)
	}
	return q.bucket
}

// RestoreBucket takes in how far a bucket was used up under an earlier leader.
func (s *State) RestoreBucket(key string, fullAt time.Time) { s.buckets[key] = fullAt.UnixNano() }
