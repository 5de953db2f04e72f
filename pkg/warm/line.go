package warm

import (
	"slices"
	"time"
)

// line is what waits for one action. The pool's mu guards it.
type line[P Process] struct {
	action   Action
	spares   []*spare[P] // the oldest first
	calls    int         // of Start that have not returned
	used     time.Time   // when an execution came last
	recent   []time.Time // when executions came, within the last minute
	bytes    int64       // of memory, of the last one that was ready; 0: not known
	failures int         // in a row
	retry    time.Time   // nothing is started before
}

// spare is a process that waits, or is about to.
type spare[P Process] struct {
	process P
	born    time.Time
	ready   bool
	bytes   int64
	out     chan struct{} // closed when it waits no more
}

// often is how many executions within a minute are worth how many processes that wait without being declared, the most
// first.
var often = []struct{ starts, spares int }{{120, 4}, {30, 2}, {3, 1}}

// window is the time in which executions are counted.
const window = time.Minute

// use notes an execution.
func (l *line[P]) use(now time.Time) {
	l.used = now
	if l.recent = append(l.recent, now); len(l.recent) > often[0].starts {
		l.recent = slices.Delete(l.recent, 0, 1)
	}
}

// hot is how many are to wait because the action is started often.
func (l *line[P]) hot(now time.Time) int {
	l.recent = slices.DeleteFunc(l.recent, func(at time.Time) bool { return now.Sub(at) >= window })
	for _, o := range often {
		if len(l.recent) >= o.starts {
			return o.spares
		}
	}
	return 0
}

// pick gives the oldest that waits, else the oldest that is about to. What has ended is left to whoever watches it.
func (l *line[P]) pick() (best *spare[P]) {
	for _, s := range l.spares {
		if s.gone() {
			continue
		}
		if s.ready {
			return s
		}
		if best == nil {
			best = s
		}
	}
	return best
}

func (s *spare[P]) gone() bool {
	select {
	case <-s.process.Gone():
		return true
	default:
		return false
	}
}

// remove takes one out of the line, and tells whether it was in it.
func (l *line[P]) remove(s *spare[P]) bool {
	i := slices.Index(l.spares, s)
	if i < 0 {
		return false
	}
	l.spares = slices.Delete(l.spares, i, i+1)
	close(s.out)
	return true
}

// Pauses after one, and after many, that ended by themselves.
const (
	firstPause = time.Second
	mostPause  = 5 * time.Minute
)

// fail notes that one ended by itself.
func (l *line[P]) fail(now time.Time) {
	pause := mostPause
	if l.failures < 9 {
		pause = min(firstPause<<l.failures, mostPause)
	}
	l.failures++
	l.retry = now.Add(pause)
}

// young counts those that have not waited for too long, the ones that are being started included.
func (l *line[P]) young(now time.Time, age time.Duration) int {
	n := l.calls
	for _, s := range l.spares {
		if now.Sub(s.born) < age {
			n++
		}
	}
	return n
}

// worn gives one that has waited for too long and can be spared: another is ready in its place, or none is wanted.
func (l *line[P]) worn(now time.Time, age time.Duration, wanted int) *spare[P] {
	ready := 0
	for _, s := range l.spares {
		if s.ready || now.Sub(s.born) >= age {
			ready++
		}
	}
	for _, s := range l.spares {
		if waited := now.Sub(s.born); waited >= 2*age || waited >= age && ready > wanted {
			return s
		}
	}
	return nil
}

// guess is taken for the memory of a process that nobody has measured.
const guess = 32 << 20

// size is what another one is expected to have in memory.
func (l *line[P]) size() int64 {
	if l.bytes > 0 {
		return l.bytes
	}
	return guess
}

// memory is what those have that wait, and those will that are being started.
func (l *line[P]) memory() int64 {
	all := int64(l.calls) * l.size()
	for _, s := range l.spares {
		all += s.memory(l)
	}
	return all
}

func (s *spare[P]) memory(l *line[P]) int64 {
	if s.ready {
		return s.bytes
	}
	return l.size()
}
