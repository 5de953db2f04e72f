package ruleset_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/ruleset"
	"github.com/attune/attune/streams"
)

func TestTheSameRulesAreTheSameSet(t *testing.T) {
	t.Parallel()
	rules := []streams.AskedRule{{Rule: "a.b", When: "event.payload.x == 1"}, {Rule: "a.c", Disabled: true}}
	id := func(trigger string, rules ...streams.AskedRule) string {
		s, err := ruleset.New(trigger, rules)
		if err != nil {
			t.Fatal(err)
		}
		return s.ID
	}
	if a, b := id("p.t", rules...), id("p.t", rules...); a != b || a == "" {
		t.Errorf("ids %q and %q", a, b)
	}
	others := map[string]string{
		"another trigger":  id("p.u", rules...),
		"fewer rules":      id("p.t", rules[0]),
		"another order":    id("p.t", rules[1], rules[0]),
		"another criteria": id("p.t", streams.AskedRule{Rule: "a.b", When: "event.payload.x == 2"}, rules[1]),
		"one enabled":      id("p.t", rules[0], streams.AskedRule{Rule: "a.c"}),
	}
	for what, other := range others {
		if other == id("p.t", rules...) {
			t.Errorf("%s: the same id", what)
		}
	}
}

func TestASetIsAMessage(t *testing.T) {
	t.Parallel()
	var rules []streams.AskedRule
	for i := range 1000 {
		rules = append(rules, streams.AskedRule{Rule: fmt.Sprintf("p.r%d", i), When: "event.payload.x == " + strings.Repeat("1", 4000)})
	}
	set, err := ruleset.New("p.t", rules)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := json.Marshal(set); err != nil || len(data) > 1<<20 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if rules[0].When == "" {
		t.Error("the rules that were given have changed")
	}
	if out := ruleset.Complete(t.Context(), set, nil, map[string]any{}); len(out) != 1000 || out[999].Reason != ruleset.Unknown {
		t.Errorf("%d decisions, the last is %+v", len(out), out[len(out)-1])
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	set := streams.RuleSet{Rules: []streams.AskedRule{
		{Rule: "p.asleep", When: "true", Disabled: true},
		{Rule: "p.broken", When: "event.payload."},
		{Rule: "p.other", When: `event.payload.host == "db"`},
		{Rule: "p.true", When: `event.payload.host == "web"`},
		{Rule: "p.went", When: `event.payload.host == "web"`},
		{Rule: "p.whole"},
	}}
	listed := []streams.RuleDecision{{Rule: "p.went", Outcome: streams.Matched, Execution: "x"}, {Rule: "p.gone", Outcome: streams.Errored, Reason: "y"}}
	want := []streams.RuleDecision{
		{Rule: "p.asleep", Outcome: streams.NotMatched, Reason: ruleset.Disabled},
		{Rule: "p.broken", Outcome: streams.NotMatched, Reason: ruleset.Unknown},
		listed[1],
		{Rule: "p.other", Outcome: streams.NotMatched, Reason: `event.payload.host == "db" is false: event.payload.host is "web"`},
		{Rule: "p.true", Outcome: streams.NotMatched, Reason: ruleset.Unknown},
		listed[0],
		{Rule: "p.whole", Outcome: streams.NotMatched, Reason: ruleset.Unknown},
	}
	event := map[string]any{"payload": map[string]any{"host": "web"}}
	if got := ruleset.Complete(t.Context(), set, listed, event); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, d := range ruleset.Complete(t.Context(), set, nil, nil) {
		if d.Reason != ruleset.Unknown && d.Reason != ruleset.Disabled {
			t.Errorf("without the event: %+v", d)
		}
	}
}
