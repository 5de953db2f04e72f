package rules

import (
	"context"
	"testing"
	"time"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// Rules are asked by what their criteria compare. One that is broken has its say even where its criteria would not match, and
// one that is disabled none even where they would; the others are listed in the order of their names.
func TestDecideAsksWhoHasASay(t *testing.T) {
	t.Parallel()
	snap := manyRules(0, 0, "")
	trigger, action := pack.Ref{Pack: "bench", Name: "asked"}, pack.Ref{Pack: "bench", Name: "work"}
	snap.Triggers[trigger] = definitions.Trigger{}
	for name, r := range map[string]struct {
		when    string
		enabled bool
		once    *pack.OncePer
	}{
		"a": {`event.payload.host.endsWith("1")`, true, nil},
		"b": {`event.payload.host == "db1"`, true, &pack.OncePer{Key: "event.("}},
		"c": {`event.payload.host == "web1"`, false, nil},
		"d": {`event.payload.host == "web1"`, true, nil},
		"e": {`event.payload.host == "db1"`, true, nil},
		"f": {``, true, nil},
		"g": {`event.payload.load > 3`, true, nil},
	} {
		ref := pack.Ref{Pack: "bench", Name: name}
		snap.Rules[ref] = definitions.Rule{Ref: ref, Trigger: trigger, Action: action, Enabled: r.enabled, Spec: pack.Rule{When: r.when, OncePer: r.once}}
	}
	s := &Service{sets: newRuleSets()}
	s.index.Store(newIndex(snap, nil))
	ev := event.Event{ID: event.NewID(), Trigger: trigger.String(), Value: map[string]any{"host": "web1"}, Time: time.Now(), ReceivedAt: time.Now()}
	b := &burst{}
	if err := s.decide(context.Background(), b, ev, false); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, d := range b.decisions[0].Rules {
		said += d.Rule + " " + string(d.Outcome) + "\n"
	}
	if want := "bench.a matched\nbench.b error\nbench.d matched\nbench.f matched\nbench.g error\n"; said != want {
		t.Errorf("said:\n%s\nwant:\n%s", said, want)
	}
	if d := b.decisions[0]; d.asked != 7 || d.Status != streams.EventDecided || len(b.wanted) != 3 {
		t.Errorf("%d asked, %d wanted: %+v", d.asked, len(b.wanted), d)
	}
}
