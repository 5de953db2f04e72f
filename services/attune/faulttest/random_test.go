package faulttest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A random run has rounds, each with queues of its own that are judged at its end.
const (
	roundTime  = time.Minute
	shortRound = 20 * time.Second // in an ordinary run, which has one
	backlog    = 30               // how many of a queue may wait
)

// TestRandomKillsAndStopsBreakNoPromise kills, stops and continues whatever there is, at random, while work of every
// kind comes in.
func TestRandomKillsAndStopsBreakNoPromise(t *testing.T) {
	t.Parallel()
	t.Logf("repeat with -seed %d", *seed)
	c := start(t, size{schedulers: 2, runners: 3})
	m := &monkey{c: c, chance: rand.New(rand.NewPCG(*seed, 0)), done: map[string]int{}}
	m.prepare()
	began := time.Now()
	for round := 0; round == 0 || time.Since(began) < *soak; round++ {
		length := roundTime
		if *soak == 0 {
			length = shortRound
		}
		m.round(round, length)
		if t.Failed() {
			break
		}
	}
	t.Logf("%s", m.summary())
}

// monkey disturbs a cluster.
type monkey struct {
	c       *cluster
	chance  *rand.Rand
	victims []*node
	done    map[string]int
	stopped []*time.Timer
}

// prepare has every node started again whenever it dies.
func (m *monkey) prepare() {
	c := m.c
	for _, n := range append(c.services(), c.nats) {
		n.keep(c.t, func() string { return "" })
	}
	// The heart of the matter more often than the rest.
	m.victims = append(append(c.schedulers, c.schedulers...), append(c.runners, c.nats, c.rules, c.api, c.recorder)...)
}

// round requests work and makes trouble for a time, then lets everything end and judges it.
func (m *monkey) round(round int, length time.Duration) {
	t, c := m.c.t, m.c
	name := func(kind string) string { return fmt.Sprintf("%s-%d", kind, round) }
	one, two, again, events := c.group(name("one"), "fault.one", 1), c.group(name("two"), "fault.two", 2), c.group(name("again"), "fault.again", 1), c.group(name("events"), "fault.one", 1)
	again.attempts, again.failEvery = 2, 7
	hold, rated := c.group(name("hold"), "fault.hold", 1), c.group(name("rated"), "fault.rated", 2)
	hold.attempts, hold.failEvery, hold.hold, rated.every = 2, 5, true, time.Second/5
	groups := []*group{one, two, again, events, hold, rated}
	for _, g := range groups {
		g.holdMS = 10
	}
	next := time.Now().Add(m.calm())
	for began := time.Now(); time.Since(began) < length && t.Context().Err() == nil; {
		if g := groups[m.chance.IntN(len(groups))]; g.waiting() >= backlog {
			pauseFor(t, 10*time.Millisecond)
		} else if g == events {
			g.publish()
		} else {
			g.requestOne()
		}
		if time.Now().After(next) {
			m.strike()
			next = time.Now().Add(m.calm())
		}
	}
	m.relent()
	for _, g := range groups {
		h := g.settle()
		t.Logf("round %d, %s: %v", round, g.queue, statuses(h))
	}
}

// calm is the time between two faults.
func (m *monkey) calm() time.Duration {
	return 300*time.Millisecond + time.Duration(m.chance.IntN(2500))*time.Millisecond
}

// strike kills a node or stops it for a while: a moment, longer than a leader's lease, or longer than anybody
// believes in a runner.
func (m *monkey) strike() {
	n := m.victims[m.chance.IntN(len(m.victims))]
	kind, _, _ := strings.Cut(n.name, "-")
	p := n.now()
	if m.chance.IntN(2) == 0 {
		m.done["kill "+kind]++
		p.Signal(syscall.SIGKILL)
		return
	}
	stops := []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 13 * time.Second}
	if n == m.c.nats || n == m.c.api {
		stops = stops[:2] // all wait for them, and nothing would happen meanwhile
	}
	m.done["stop "+kind]++
	p.Signal(syscall.SIGSTOP)
	m.stopped = append(m.stopped, time.AfterFunc(stops[m.chance.IntN(len(stops))], func() { p.Signal(syscall.SIGCONT) }))
}

// relent lets everything go on.
func (m *monkey) relent() {
	for _, timer := range m.stopped {
		timer.Stop()
	}
	m.stopped = nil
	for _, n := range append(m.c.services(), m.c.nats) {
		n.now().Signal(syscall.SIGCONT)
	}
}

func (m *monkey) summary() string { return fmt.Sprintf("faults: %v", m.done) }
