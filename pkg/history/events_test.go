package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

func received(id string, seq uint64) history.Received {
	at := origin.Add(time.Duration(seq) * time.Second)
	return history.Received{Event: event.Event{
		ID: id, Trigger: "core.webhook", Time: at, ReceivedAt: at, Source: "nats", Sequence: seq,
		Payload: json.RawMessage(fmt.Sprintf(`{"seq":%d}`, seq)),
	}}
}

func decision(id string, seq uint64, at time.Duration) streams.Decision {
	x := uuid.NewSHA1(uuid.Nil, []byte(id)).String()
	return streams.Decision{
		Version: 1, EventID: id, EventSeq: seq, Trigger: "core.webhook", At: origin.Add(at), Status: streams.EventDecided,
		Rules: []streams.RuleDecision{
			{Rule: "core.a", Outcome: streams.Matched, Execution: x, Action: "core.echo"},
			{Rule: fmt.Sprintf("core.b%d", seq%2), Outcome: streams.NotMatched, Reason: fmt.Sprint("at ", at)},
			{Rule: "core.c", Outcome: streams.Suppressed, Reason: "another went through", Execution: x, Action: "core.echo"},
		},
	}
}

func TestAnEventShowsWhatEveryRuleDecided(t *testing.T) {
	t.Parallel()
	s, ctx := history.New(dbtest.New(t)), context.Background()
	id := event.NewID()
	if err := s.ApplyEvents(ctx, nil, []streams.Decision{decision(id, 2, time.Hour)}); err != nil {
		t.Fatal(err)
	}
	early, err := s.Event(ctx, id)
	if err != nil || early.Status != streams.EventDecided || early.Payload != nil {
		t.Errorf("before the event itself: %+v, %v", early, err)
	}
	if err := s.ApplyEvents(ctx, []history.Received{received(id, 2)}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := s.Event(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	decidedAt := origin.Add(time.Hour)
	want := history.Event{
		ID: id, Seq: 2, Trigger: "core.webhook", Status: streams.EventDecided, Payload: json.RawMessage(`{"seq":2}`), Source: "nats",
		Time: origin.Add(2 * time.Second), ReceivedAt: origin.Add(2 * time.Second), DecidedAt: &decidedAt,
		Decisions: []history.Decision{
			{Rule: "core.a", Outcome: streams.Matched, Execution: uuid.NewSHA1(uuid.Nil, []byte(id)).String(), Action: "core.echo", DecidedAt: decidedAt},
			{Rule: "core.b0", Outcome: streams.NotMatched, Reason: "at 1h0m0s", DecidedAt: decidedAt},
			{Rule: "core.c", Outcome: streams.Suppressed, Reason: "another went through", Action: "core.echo", DecidedAt: decidedAt},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// asked is a set of the rules that decisions are about.
var asked = streams.RuleSet{
	Version: 1, ID: uuid.NewSHA1(uuid.Nil, []byte("asked")).String(), Trigger: "core.webhook", At: origin,
	Rules: []streams.AskedRule{{Rule: "core.a", When: `event.payload.seq == 7`}, {Rule: "core.b0"}, {Rule: "core.b1", Disabled: true}},
}

func TestAnEventNamesTheRulesThatWereAsked(t *testing.T) {
	t.Parallel()
	s, ctx := history.New(dbtest.New(t)), context.Background()
	id := event.NewID()
	d := streams.Decision{
		Version: 1, EventID: id, EventSeq: 2, Trigger: "core.webhook", At: origin.Add(time.Hour), Status: streams.EventDecided, RuleSet: asked.ID,
		Rules: []streams.RuleDecision{{Rule: "core.a", Outcome: streams.Errored, Reason: "no such key"}},
	}
	if err := s.ApplyEvents(ctx, nil, []streams.Decision{d}); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Event(ctx, id); err != nil || e.RuleSet != asked.ID || e.Asked != nil || len(e.Decisions) != 1 {
		t.Errorf("before the rules themselves: %+v, %v", e, err)
	}
	again := asked
	again.At = origin.Add(24 * time.Hour)
	if err := s.ApplyRuleSets(ctx, []streams.RuleSet{again, asked}); err != nil {
		t.Fatal(err)
	}
	if err := s.ApplyRuleSets(ctx, []streams.RuleSet{asked}); err != nil {
		t.Fatal(err)
	}
	e, err := s.Event(ctx, id)
	if err != nil || len(e.Decisions) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	if d := cmp.Diff(&again, e.Asked); d != "" {
		t.Error(d)
	}

	// Decided again, by rules that have changed: what one of them said before does not count any more.
	d.At, d.Rules = d.At.Add(time.Minute), []streams.RuleDecision{{Rule: "core.b0", Outcome: streams.Errored, Reason: "no such key"}}
	if err := s.ApplyEvents(ctx, nil, []streams.Decision{d}); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Event(ctx, id); err != nil || len(e.Decisions) != 1 || e.Decisions[0].Rule != "core.b0" {
		t.Errorf("decided again: %+v, %v", e, err)
	}
	if _, err := s.RuleSet(ctx, uuid.NewString()); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("rules that nobody recorded: %v", err)
	}
	if _, err := s.RuleSet(ctx, "x"); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("what is no id: %v", err)
	}
}

// step is one message of either stream.
type step struct {
	event    *history.Received
	decision *streams.Decision
}

// Any order, also between the two streams, any duplicates and any cut into batches: the same rows. Some events are published twice
// under one id, and some are decided twice.
func TestEventsAndDecisionsInAnyOrderGiveTheSameRows(t *testing.T) {
	t.Parallel()
	s := history.New(dbtest.New(t))
	rapid.Check(t, func(rt *rapid.T) {
		var steps []step
		seq := uint64(0)
		for i := range rapid.IntRange(1, 4).Draw(rt, "events") {
			id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, "e", i)).String()
			for range rapid.IntRange(0, 2).Draw(rt, "publications") {
				seq++
				e := received(id, seq)
				if rapid.Bool().Draw(rt, "bad") {
					e.Reason, e.Raw, e.Payload = "bad", []byte("{"), nil
				}
				steps = append(steps, step{event: &e})
			}
			for range rapid.IntRange(0, 2).Draw(rt, "decisions") {
				seq++
				d := decision(id, seq, time.Duration(seq)*time.Minute)
				if rapid.Bool().Draw(rt, "names a set of rules") {
					d.RuleSet, d.Rules = asked.ID, rapid.SliceOfN(rapid.SampledFrom(d.Rules), 0, 2).Draw(rt, "listed")
				}
				if rapid.Bool().Draw(rt, "says when") {
					d.ReceivedAt = origin.Add(time.Duration(seq) * time.Second)
				}
				steps = append(steps, step{decision: &d})
			}
		}
		want := eventsAfter(rt, s, steps, 1)
		if len(steps) > 0 {
			steps = append(steps, rapid.SliceOfN(rapid.SampledFrom(steps), 0, 4).Draw(rt, "duplicates")...)
		}
		got := eventsAfter(rt, s, rapid.Permutation(steps).Draw(rt, "order"), rapid.IntRange(1, 5).Draw(rt, "batch"))
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatal(d)
		}
	})
}

func eventsAfter(t *rapid.T, s *history.Store, steps []step, batch int) (out []history.Event) {
	ctx := context.Background()
	if err := s.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.ApplyRuleSets(ctx, []streams.RuleSet{asked}); err != nil {
		t.Fatal(err)
	}
	for some := range slices.Chunk(steps, batch) {
		var events []history.Received
		var decisions []streams.Decision
		for _, st := range some {
			if st.event != nil {
				events = append(events, *st.event)
			} else {
				decisions = append(decisions, *st.decision)
			}
		}
		if err := s.ApplyEvents(ctx, events, decisions); err != nil {
			t.Fatal(err)
		}
	}
	page, err := s.ListEvents(ctx, history.EventFilter{}, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		whole, err := s.Event(ctx, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, whole)
	}
	return out
}

func TestOneBatchMayHoldAnEventSeveralTimes(t *testing.T) {
	t.Parallel()
	s, ctx := history.New(dbtest.New(t)), context.Background()
	id := event.NewID()
	if err := s.ApplyEvents(ctx, []history.Received{received(id, 2), received(id, 1), received(id, 3)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.ApplyEvents(ctx, nil, []streams.Decision{decision(id, 1, 2*time.Minute), decision(id, 1, time.Minute)}); err != nil {
		t.Fatal(err)
	}
	e, err := s.Event(ctx, id)
	if err != nil || e.Seq != 1 || !e.DecidedAt.Equal(origin.Add(2*time.Minute)) || e.Decisions[1].Reason != "at 2m0s" {
		t.Errorf("%+v, %v", e, err)
	}
}
