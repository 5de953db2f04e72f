package faulttest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestANATSServerKilledInALoopCostsOnlyTime(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 2, runners: 2})
	g := c.group("bus", "fault.one", 1)
	g.holdMS = 20
	g.request(100)
	for until := deadline(); !until(g.started() >= 80); {
		if g.waiting() < 20 {
			g.request(20)
		}
		was := g.started()
		eventually(t, patience, "work goes on", func() bool { return g.started() >= was+5 })
		c.nats.kill()
		pauseFor(t, 200*time.Millisecond)
		c.startNATS()
	}
	h := g.settle()
	t.Logf("the server had %d lives; %v", len(c.nats.lives), statuses(h))
	if n := statuses(h)["succeeded"]; n != len(g.asked) {
		t.Errorf("%v, want %d succeeded", statuses(h), len(g.asked))
	}
}

// The disk of the NATS server is gone, everything starts anew: PostgreSQL knows what had not ended.
func TestALostStoreIsMadeAnewFromHistory(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 2})
	g := c.group("store", "fault.one", 1)
	g.request(3)
	g.settle()
	g.holdMS = long
	g.requestOne()
	mark := g.awaitStart(4)
	g.holdMS = 0
	g.request(20)
	eventually(t, patience, "history knows all", func() bool { return len(g.executions()) == len(g.asked) })
	nodes := append(c.services(), c.nats)
	for _, n := range nodes {
		n.kill()
	}
	eventually(t, soonGone, "what ran is gone", func() bool { return gone(mark.PID) })
	if err := os.RemoveAll(filepath.Join(c.dir, "nats", "store")); err != nil {
		t.Fatal(err)
	}
	c.begin(size{})
	c.awaitReady()
	h := g.settle()
	if n := statuses(h); n["lost"] != 1 || n["succeeded"] != 23 || g.status(4) != "lost" {
		t.Errorf("%v, want the one that ran lost and all others succeeded", n)
	}
	g.request(3)
	g.settle()
}
