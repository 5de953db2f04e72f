package admission

import (
	"slices"
	"time"
)

// ring is a first-in first-out of queues that takes turns.
type ring struct {
	items []*queue
	head  int
	n     int
}

func (r *ring) push(q *queue) {
	if r.n == len(r.items) {
		r.grow()
	}
	r.items[(r.head+r.n)%len(r.items)] = q
	r.n++
}

func (r *ring) pop() (*queue, bool) {
	if r.n == 0 {
		return nil, false
	}
	q := r.items[r.head]
	r.items[r.head] = nil
	r.head = (r.head + 1) % len(r.items)
	r.n--
	return q, true
}

// peek gives the queue whose turn is next; there must be one.
func (r *ring) peek() *queue { return r.items[r.head] }

func (r *ring) grow() {
	items := make([]*queue, max(16, 2*len(r.items)))
	for i := range r.n {
		items[i] = r.items[(r.head+i)%len(r.items)]
	}
	r.items, r.head = items, 0
}

// remembered is how many ended executions a generation of memory holds.
const remembered = 1 << 14

// memory knows the executions that ended lately, so that a queue message which arrives after the end, or is
// put back by somebody who was late, is recognised. What is older than one to two generations is found out by
// reading the execution's state.
type memory struct {
	young, old map[ID]int32 // to the last attempt that ended
}

func newMemory() memory { return memory{young: map[ID]int32{}} }

func (m *memory) add(id ID, attempt int) {
	if last, ok := m.attempt(id); ok && last >= attempt {
		return
	}
	if len(m.young) == remembered {
		m.old, m.young = m.young, make(map[ID]int32, remembered)
	}
	m.young[id] = int32(attempt)
}

func (m *memory) attempt(id ID) (int, bool) {
	if a, ok := m.young[id]; ok {
		return int(a), true
	}
	a, ok := m.old[id]
	return int(a), ok
}

// window is how many samples an average remembers: it is exact for so many, then weighted towards the newest.
const window = 10

// average is a mean of the latest samples.
type average struct {
	mean float64
	n    int
}

func (a *average) add(v float64) {
	a.n = min(a.n+1, window)
	a.mean += (v - a.mean) / float64(a.n)
}

// sampled is how many values a sample remembers.
const sampled = 31

// sample is the latest values of something, for their median.
type sample struct {
	values []float64
	next   int
}

func (s *sample) add(v float64) {
	if len(s.values) < sampled {
		s.values = append(s.values, v)
		return
	}
	s.values[s.next] = v
	s.next = (s.next + 1) % sampled
}

// median gives the middle value; false without any.
func (s *sample) median() (float64, bool) {
	if len(s.values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(s.values))
	return sorted[len(sorted)/2], true
}

func seconds(nanos int64) float64 { return time.Duration(nanos).Seconds() }
