package faulttest

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/services/attune/attunetest/checker"
	"github.com/attune/attune/streams"
)

// How soon things must be noticed.
const (
	soonGone = 20 * time.Second // the processes of a dead runner: 2 s are promised, and dozens of processes compete here
	slotFree = 15 * time.Second // the slot of what it ran
)

// long is an action that runs until it is ended.
const long = int(time.Hour / time.Millisecond)

// awaitStart returns the mark of the last start when there are so many.
func (g *group) awaitStart(count int) checker.Mark {
	g.c.t.Helper()
	var last checker.Mark
	eventually(g.c.t, patience, "an action starts in "+g.queue, func() bool {
		n := 0
		for _, m := range g.marks() {
			if !m.End {
				last = m
				n++
			}
		}
		return n >= count
	})
	return last
}

// gone tells whether a process is no more.
func gone(pid int) bool {
	state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || len(state) == 0
}

// status is what the list of executions says of the request of a number.
func (g *group) status(n int) string {
	g.c.t.Helper()
	for _, x := range g.executions() {
		if x.ID == g.asked[n-1].ID {
			return string(x.Status)
		}
	}
	return ""
}

func TestAKilledRunnerLosesWhatItRanAndFreesItsSlot(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 1})
	g := c.group("killed", "fault.one", 1)
	g.holdMS = long
	g.requestOne()
	mark := g.awaitStart(1)
	g.holdMS = 0
	g.request(2)
	c.runners[0].kill()
	eventually(t, soonGone, "its process is gone", func() bool { return gone(mark.PID) })
	died := time.Now()
	c.runners[0].start(t, "")
	g.awaitStart(2)
	if waited := time.Since(died); waited > slotFree {
		t.Errorf("the slot was free after %s, at most %s are allowed", waited, slotFree)
	}
	h := g.settle()
	if n := statuses(h); n["lost"] != 1 || n["succeeded"] != 2 || g.status(1) != "lost" {
		t.Errorf("%v, want the first lost and two succeeded", n)
	}
}

// Nobody comes back: the runner's entry expires, and another runner goes on.
func TestARunnerThatStaysDeadIsMissed(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 1})
	g := c.group("missed", "fault.one", 1)
	g.holdMS = long
	g.requestOne()
	g.awaitStart(1)
	g.holdMS = 0
	g.requestOne()
	other := c.service("runner-other", "runner", "ATTUNE_RUNNER_NAME=other", "ATTUNE_SLOTS=4")
	c.runners = append(c.runners, other)
	c.runners[0].kill()
	died := time.Now()
	other.start(t, "")
	g.awaitStart(2)
	if waited := time.Since(died); waited > slotFree {
		t.Errorf("the slot was free after %s, at most %s are allowed", waited, slotFree)
	}
	if n := statuses(g.settle()); n["lost"] != 1 || n["succeeded"] != 1 {
		t.Errorf("%v, want one lost and one succeeded", n)
	}
}

// A runner that was stopped for longer than others believe in it kills what it ran when it goes on, and what it
// says then is refused.
func TestAStoppedRunnerKillsWhatItRanAndIsRefused(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 2})
	g := c.group("stopped", "fault.one", 1)
	g.holdMS = long
	g.requestOne()
	mark := g.awaitStart(1)
	owner := c.ownerOf(mark.PID)
	owner.now().Signal(syscall.SIGSTOP)
	g.holdMS = 0
	g.request(2)
	g.awaitStart(3)
	if gone(mark.PID) {
		t.Error("the process of the stopped runner was gone before it went on")
	}
	owner.now().Signal(syscall.SIGCONT)
	eventually(t, soonGone, "its process is gone", func() bool { return gone(mark.PID) })
	owner.now().AwaitLine(t, `(end refused)`)
	if n := statuses(g.settle()); n["lost"] != 1 || n["succeeded"] != 2 || g.status(1) != "lost" {
		t.Errorf("%v, want the first lost and two succeeded", n)
	}
	g.request(2)
	g.settle()
}

// ownerOf finds the runner that started a process.
func (c *cluster) ownerOf(pid int) *node {
	c.t.Helper()
	for p := pid; p > 1; p = parent(p) {
		for _, r := range c.runners {
			if r.now().PID() == p {
				return r
			}
		}
	}
	c.t.Fatalf("no runner is an ancestor of %d", pid)
	return nil
}

// Between the action's end and the fact of it a runner may die: either its spool knows the end, or it is lost.
func TestARunnerKilledBeforeTheFinalFactDoesNotRunItAgain(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 1})
	for place, want := range map[failpoint.Name]string{
		failpoint.RunnerExited: "lost", failpoint.RunnerSpooled: "succeeded", failpoint.RunnerEnded: "succeeded",
	} {
		c.runners[0].stop(t)
		c.runners[0].start(t, string(place)+"=kill@1")
		g := c.group(string(place), "fault.one", 1)
		g.requestOne()
		<-c.runners[0].now().Ended()
		c.runners[0].start(t, "")
		g.request(2)
		if n := statuses(g.settle()); g.status(1) != want || n["succeeded"] < 2 {
			t.Errorf("killed at %s it is %s, want %s; %v", place, g.status(1), want, n)
		}
		if n := c.fired(place); n != 1 {
			t.Errorf("%s fired %d times", place, n)
		}
	}
}

// What is lost with its runner is repeated where the action says so, and only what the new attempt says counts.
func TestARetryOnLostIsOneMoreAttemptAndTheFirstIsRefused(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 2})
	g := c.group("again", "fault.again", 1)
	g.attempts, g.holdMS = 2, 3*int(streams.RunnerTTL/time.Millisecond)
	g.requestOne()
	first := g.awaitStart(1)
	owner := c.ownerOf(first.PID)
	owner.now().Signal(syscall.SIGSTOP)
	second := g.awaitStart(2)
	if second.N != first.N || second.Attempt != 2 {
		t.Errorf("%v started after %v, want its second attempt", second, first)
	}
	owner.now().Signal(syscall.SIGCONT)
	eventually(t, soonGone, "the first attempt's process is gone", func() bool { return gone(first.PID) })
	owner.now().AwaitLine(t, `(end refused)`)
	c.ownerOf(second.PID).kill()
	eventually(t, soonGone, "the second attempt's process is gone", func() bool { return gone(second.PID) })
	if n := statuses(g.settle()); n["lost"] != 1 || g.started() != 2 {
		t.Errorf("%v after %d starts, want one lost after two", n, g.started())
	}
}
