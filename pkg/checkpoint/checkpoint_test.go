package checkpoint_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/checkpoint"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.AsyncPublisher()) }

func put(t *testing.T, b *bus.Bus, m *nats.Msg) {
	t.Helper()
	if _, err := b.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func decision(t *testing.T, event uint64) *nats.Msg {
	t.Helper()
	id := uuid.NewString()
	subject, err := streams.DecisionSubject("a", "b", id)
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg(subject)
	if m.Data, err = json.Marshal(streams.Decision{Version: streams.Version, EventID: id, EventSeq: event}); err != nil {
		t.Fatal(err)
	}
	m.Header.Set(streams.HeaderEventSeq, strconv.FormatUint(event, 10))
	return m
}

func check(t *testing.T, b *bus.Bus, want checkpoint.UpTo) {
	t.Helper()
	if got, err := checkpoint.Look(t.Context(), b.Conn); err != nil || got != want {
		t.Errorf("decided up to %+v, %v; want %+v", got, err, want)
	}
}

func TestWhatIsNoDecisionIsPassedOver(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	check(t, b, checkpoint.UpTo{})
	garbage := func() {
		forged := decision(t, 7)
		forged.Header.Set(streams.HeaderEventSeq, "18446744073709551615")
		elsewhere := decision(t, 7)
		elsewhere.Subject = "attune.decision.x"
		for _, m := range []*nats.Msg{
			{Subject: "attune.decision.x"},
			{Subject: "attune.decision.a.b.c", Data: []byte(`{"v":1,"event_seq":9}`)},
			forged,
			elsewhere,
			{Subject: "attune.decision.\xff", Header: nats.Header{streams.HeaderEventSeq: {"-1"}}},
			{Subject: "attune.decision.y", Header: nats.Header{"Status": {"404"}}},
		} {
			put(t, b, m)
		}
	}
	garbage()
	check(t, b, checkpoint.UpTo{Passed: 6})
	put(t, b, decision(t, 3))
	check(t, b, checkpoint.UpTo{Event: 3})
	put(t, b, &nats.Msg{Subject: "attune.ruleset.a.b.c", Data: []byte("{}")})
	garbage()
	check(t, b, checkpoint.UpTo{Event: 3, Passed: 6})
}
