package attunetest_test

import (
	"testing"

	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

func TestATimerOfAPackRunsItsRuleAgainAndAgain(t *testing.T) {
	t.Parallel()
	in := attunetest.Start(t, attunetest.Options{})
	dir := attunetest.Pack(t, map[string]string{
		"pack.yaml":          "name: clock\nversion: 1.0.0\ndescription: ticks\n",
		"triggers/tick.yaml": "description: a second has passed\ntimer:\n  every: 1s\n",
		"rules/echo.yaml":    "trigger: clock.tick\naction: core.echo\nparameters:\n  message: tick\n",
	})
	if out := in.Run("pack", "install", dir); out.Code != 0 {
		t.Fatalf("pack install: %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	facts := attunetest.AwaitFacts(t, in.Bus(), "core.echo", attunetest.Ended(2))
	for _, f := range attunetest.Ends(facts) {
		if f.Status != streams.Succeeded || f.Rule != "clock.echo" {
			t.Errorf("execution %s of rule %q: %s %+v", f.ID, f.Rule, f.Status, f.Error)
		}
	}
	requests := attunetest.Requests(facts)
	if requests[0].Event == requests[1].Event {
		t.Errorf("two executions for one tick: %+v", requests[:2])
	}
}
