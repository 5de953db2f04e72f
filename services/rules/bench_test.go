package rules

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

// manyRules defines rules on the trigger bench.asked, and more on others that are not asked.
func manyRules(asked, others int, when string) *definitions.Snapshot {
	snap := &definitions.Snapshot{Actions: map[pack.Ref]definitions.Action{}, Triggers: map[pack.Ref]definitions.Trigger{}, Rules: map[pack.Ref]definitions.Rule{}}
	action := pack.Ref{Pack: "bench", Name: "work"}
	snap.Actions[action] = definitions.Action{Digest: "d"}
	add := func(trigger string, n int) {
		t := pack.Ref{Pack: "bench", Name: trigger}
		snap.Triggers[t] = definitions.Trigger{}
		for i := range n {
			ref := pack.Ref{Pack: "bench", Name: fmt.Sprintf("%s%d", trigger, i)}
			snap.Rules[ref] = definitions.Rule{
				Ref: ref, Trigger: t, Action: action, Enabled: true,
				Spec: pack.Rule{When: when, Parameters: map[string]any{"host": "${{ event.payload.host }}"}},
			}
		}
	}
	add("asked", asked)
	for i := range others / 10 {
		add(fmt.Sprintf("other%d-", i), 10)
	}
	return snap
}

// BenchmarkDecide decides one event: by rules that do not match, by one that does, and among many that are not asked.
func BenchmarkDecide(b *testing.B) {
	const equal, no, yes = `event.payload.host == "nobody"`, `event.payload.host.startsWith("nobody")`, `event.payload.host.startsWith("web") && event.payload.state == "down"`
	for _, c := range []struct {
		name          string
		asked, others int
		when          string
		matched       int
	}{
		{"1 equality that does not match", 1, 0, equal, 0},
		{"1 rule that does not match", 1, 0, no, 0},
		{"1 rule that matches", 1, 0, yes, 1},
		{"100 rules that do not match", 100, 0, no, 0},
		{"100 equalities that do not match", 100, 0, equal, 0},
		{"10000 equalities that do not match", 10_000, 0, equal, 0},
		{"1 rule that does not match among 10000", 1, 10_000, no, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := &Service{sets: newRuleSets()}
			s.index.Store(newIndex(manyRules(c.asked, c.others, c.when), nil))
			payload := []byte(`{"host":"web1","state":"down","check":"http","labels":["eu","prod"]}`)
			value, err := strictjson.Parse(payload)
			if err != nil {
				b.Fatal(err)
			}
			ev := event.Event{ID: "0192a8d4-7a60-7b44-9f5e-0123456789ab", Trigger: "bench.asked", Payload: payload, Value: value, Time: time.Now(), ReceivedAt: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				got := &burst{}
				if err := s.decide(context.Background(), got, ev, false); err != nil || len(got.wanted) != c.matched || got.decisions[0].Status != streams.EventDecided {
					b.Fatalf("%v: %+v", err, got.decisions)
				}
			}
		})
	}
}

// BenchmarkWrite writes a parcel of decisions that say nothing of any rule.
func BenchmarkWrite(b *testing.B) {
	const id = "0192a8d4-7a60-7b44-9f5e-0123456789ab"
	bursts := make([][]decided, recordFrom/maxBurst)
	for i := range bursts {
		for range maxBurst {
			ev := event.Event{ID: id, Trigger: "bench.asked", Sequence: 123_456, ReceivedAt: time.Now()}
			d := decided{Decision: decision(ev, streams.EventDecided)}
			d.RuleSet = id
			bursts[i] = append(bursts[i], d)
		}
	}
	var on sheets
	b.ReportAllocs()
	for b.Loop() {
		if msgs, err := on.write(bursts); err != nil || len(msgs) != recordFrom {
			b.Fatalf("%d messages: %v", len(msgs), err)
		}
	}
}

// BenchmarkIndex compiles a thousand rules, and again when one of them has changed.
func BenchmarkIndex(b *testing.B) {
	snap := manyRules(0, 1000, `event.payload.host == "nobody"`)
	b.Run("1000 rules", func(b *testing.B) {
		for b.Loop() {
			newIndex(snap, nil)
		}
	})
	b.Run("1000 rules of which one has changed", func(b *testing.B) {
		ix := newIndex(snap, nil)
		changed := pack.Ref{Pack: "bench", Name: "other0-0"}
		for b.Loop() {
			r := snap.Rules[changed]
			r.UpdatedAt = r.UpdatedAt.Add(time.Second)
			snap.Rules[changed] = r
			ix = newIndex(snap, ix)
		}
	})
}
