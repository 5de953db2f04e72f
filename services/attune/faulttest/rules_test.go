package faulttest

import (
	"fmt"
	"testing"
	"time"

	"github.com/attune/attune/pkg/failpoint"
)

// eventsPerSecond come in while rules are killed.
const eventsPerSecond = 50

func TestRulesKilledBetweenTheirPublishesDecideEveryEventOnceAndInOrder(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 2})
	places := []failpoint.Name{
		failpoint.RulesDecided, failpoint.ExecutionRequested, failpoint.ExecutionQueued, failpoint.RulesRequested, failpoint.RulesRecorded,
	}
	var queues [4]*group
	for i := range queues {
		queues[i] = c.group(fmt.Sprintf("rules-%d", i), "fault.one", 1)
	}
	tick := time.NewTicker(time.Second / eventsPerSecond)
	defer tick.Stop()
	published := 0
	c.rules.kill()
	for until := deadline(); !until(c.allFired(places)); {
		if c.rules.ended() {
			c.rules.start(t, plan(places, len(c.rules.lives)))
		}
		<-tick.C
		queues[published%len(queues)].publish()
		published++
	}
	c.rules.stop(t)
	c.rules.start(t, "")
	for _, q := range queues {
		h := q.settle()
		if n := statuses(h)["succeeded"]; n != len(q.asked) {
			t.Errorf("%v, want %d succeeded", statuses(h), len(q.asked))
		}
	}
}

// plan gives the plan of a process's next life: the places one after the other, at an early hit and at later ones,
// where a life has more than one.
func plan(places []failpoint.Name, life int) string {
	place, hit := places[life%len(places)], 1+3*(life/len(places)%3)
	if place == failpoint.SchedulerMarked || place == failpoint.SchedulerRebuilt {
		hit = 1
	}
	return fmt.Sprintf("%s=kill@%d", place, hit)
}

// deadline is for loops that go on, in a soak, for its time, and otherwise until they have done what they must.
func deadline() (over func(done bool) bool) {
	began := time.Now()
	return func(done bool) bool { return done && time.Since(began) >= *soak }
}

// allFired tells whether every place has fired.
func (c *cluster) allFired(places []failpoint.Name) bool {
	c.t.Helper()
	for _, p := range places {
		if c.fired(p) == 0 {
			return false
		}
	}
	return true
}
