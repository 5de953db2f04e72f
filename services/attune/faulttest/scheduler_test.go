package faulttest

import (
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/streams"
)

// admissionPlaces are those that a leading scheduler passes.
var admissionPlaces = []failpoint.Name{
	failpoint.SchedulerMarked, failpoint.SchedulerRebuilt, failpoint.SchedulerAdmitted, failpoint.SchedulerDispatched,
	failpoint.SchedulerDue, failpoint.SchedulerRequeued, failpoint.SchedulerEnded, failpoint.SchedulerRemoved,
}

// runnerPlaces are those that an execution passes in a runner.
var runnerPlaces = []failpoint.Name{
	failpoint.RunnerClaimed, failpoint.RunnerAcked, failpoint.RunnerExited, failpoint.RunnerSpooled, failpoint.RunnerEnded, failpoint.RunnerReceived,
}

// queuedAtOnce is how many wait while processes die.
func queuedAtOnce() int {
	if *soak > 0 {
		return 500
	}
	return 200
}

func TestSchedulersKilledAtEveryPlaceAndRunnersTooKeepOrderAndLimit(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 2, runners: 3})
	g := c.group("admission", "fault.again", 1)
	g.attempts, g.failEvery = 2, 10
	for _, s := range c.schedulers {
		s.stop(t)
	}
	g.request(queuedAtOnce())
	// Plans go from one life of any scheduler to the next, so that every place has its turn whoever leads.
	next := sequence(admissionPlaces)
	for _, s := range c.schedulers {
		s.start(t, next())
		s.keep(t, next)
	}
	for i, r := range c.runners {
		c.killNow(r, string(runnerPlaces[i])+"=kill@5")
	}
	for until := deadline(); !until(c.allFired(admissionPlaces)); {
		if g.waiting() < queuedAtOnce()/5 {
			g.request(queuedAtOnce() / 5)
		}
		pauseFor(t, 100*time.Millisecond)
	}
	c.calm(c.schedulers...)
	h := g.settle()
	t.Logf("%d requested, %v, schedulers had %d lives", len(g.asked), statuses(h), len(c.schedulers[0].lives)+len(c.schedulers[1].lives))
}

// A leader that is stopped between its decision and its dispatch, for longer than its lease, goes on with a
// dispatch that the server must refuse.
func TestAStoppedLeaderDispatchesNothingTwice(t *testing.T) {
	t.Parallel()
	stopped := streams.LeaseTTL + 2*time.Second
	if *soak > 0 {
		stopped = 30 * time.Second
	}
	c := start(t, size{schedulers: 2, runners: 2})
	g := c.group("leader", "fault.one", 1)
	for _, s := range c.schedulers {
		s.stop(t)
	}
	g.request(60)
	first, second := c.schedulers[0], c.schedulers[1]
	first.start(t, string(failpoint.SchedulerAdmitted)+"=stop@20")
	eventually(t, patience, "the leader is stopped", func() bool { return c.fired(failpoint.SchedulerAdmitted) == 1 })
	second.start(t, "").AwaitLine(t, `(msg=leading|leading )`)
	pauseFor(t, stopped-streams.LeaseTTL)
	first.now().Signal(syscall.SIGCONT)
	first.now().AwaitLine(t, `(lease lost|lease given up|dispatch not acknowledged)`)
	g.request(20)
	h := g.settle()
	if n := statuses(h)["succeeded"]; n != len(g.asked) {
		t.Errorf("%v, want %d succeeded", statuses(h), len(g.asked))
	}
}

// sequence gives the places' plans one after the other, to whoever asks.
func sequence(places []failpoint.Name) func() string {
	lives := make(chan int, 1)
	lives <- 0
	return func() string {
		life := <-lives
		lives <- life + 1
		return plan(places, life)
	}
}
