package faulttest

import (
	"testing"

	"github.com/attune/attune/pkg/failpoint"
)

// A client that got no answer repeats its request with the same key and finds what the dead API had begun.
func TestAnAPIKilledBeforeItAnswersHasMadeOneExecution(t *testing.T) {
	t.Parallel()
	c := start(t, size{schedulers: 1, runners: 1})
	g := c.group("answers", "fault.one", 1)
	for _, place := range []failpoint.Name{failpoint.ExecutionRequested, failpoint.ExecutionQueued, failpoint.APIRequested} {
		c.api.stop(t)
		c.api.start(t, string(place)+"=kill@2")
		c.api.keep(t, func() string { return "" })
		g.request(3)
		if n := c.fired(place); n != 1 {
			t.Errorf("%s fired %d times", place, n)
		}
		again, err := g.try(len(g.asked) - 1)
		if want := g.asked[len(g.asked)-2].ID; err != nil || again.ID != want {
			t.Errorf("%s: repeated, it is %s, %v, want %s", place, again.ID, err, want)
		}
	}
	h := g.settle()
	if n := statuses(h)["succeeded"]; n != 9 {
		t.Errorf("%v, want 9 succeeded", statuses(h))
	}
}
