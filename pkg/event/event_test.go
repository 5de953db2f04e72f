package event_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

var stored = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func message(data string, headers ...string) event.Message {
	h := nats.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return event.Message{Subject: "attune.event.core.t", Header: h, Data: []byte(data), Sequence: 7, Time: stored}
}

func TestPlainJSONWithoutHeadersIsAWholeEvent(t *testing.T) {
	t.Parallel()
	e, err := event.FromMessage(message(`{"host":"web1"}`))
	if err != nil {
		t.Fatal(err)
	}
	if e.Trigger != "core.t" || string(e.Payload) != `{"host":"web1"}` || e.Source != "nats" || !e.Time.Equal(stored) || e.Sequence != 7 {
		t.Errorf("event is %+v", e)
	}
	if _, err := uuid.Parse(e.ID); err != nil {
		t.Errorf("id %q: %v", e.ID, err)
	}
}

// Ids that were derived once are on the bus and in history.
func TestDerivedIDsStayWhatTheyWere(t *testing.T) {
	t.Parallel()
	namespace := uuid.MustParse("c0a7d1de-5a50-4b0f-9a4e-3f1c8e4a7d52")
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"EVENTS", "7", "1700000000000000000"}, {"ce", "/disk", strings.Repeat("a", 300)}} {
		want := uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\x00"))).String()
		if got := event.DeriveID(parts...); got != want {
			t.Errorf("%q: %s, want %s", parts, got, want)
		}
	}
}

func TestAVariableIsThatOfVariables(t *testing.T) {
	t.Parallel()
	e, err := event.FromMessage(message(`{"host":"web1"}`, streams.HeaderSource, "test"))
	if err != nil {
		t.Fatal(err)
	}
	all := e.Variables()
	for _, name := range append(slices.Collect(maps.Keys(all)), "other") {
		want, known := all[name]
		if got, ok := e.Variable(name); ok != known || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %t, want %v, %t", name, got, ok, want, known)
		}
	}
}

func TestAnEventReadTwiceHasOneID(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]event.Message{
		"plain":       message(`{}`),
		"given":       message(`{}`, streams.HeaderEventID, "0192f0c1-0000-7000-8000-000000000001"),
		"cloud event": message(`{}`, "ce-id", "a1", "ce-source", "/disk"),
	} {
		a, _ := event.FromMessage(m)
		b, _ := event.FromMessage(m)
		if a.ID != b.ID {
			t.Errorf("%s: %s, then %s", name, a.ID, b.ID)
		}
	}
}

func TestACloudEventIsTheSameWhereverItIsStored(t *testing.T) {
	t.Parallel()
	m := message(`{}`, "ce-id", "a1", "ce-source", "/disk", "ce-time", "2026-01-02T03:04:05Z")
	a, _ := event.FromMessage(m)
	m.Sequence, m.Time = 99, stored.Add(time.Hour)
	b, _ := event.FromMessage(m)
	if a.ID != b.ID || a.Source != "/disk" || a.Time.Year() != 2026 || a.Time.Month() != time.January {
		t.Errorf("%+v, then %+v", a, b)
	}
}

func TestATimeThatCannotBeWrittenIsNotTaken(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59", "soon"} {
		m := message(`{}`, "ce-time", text)
		e, err := event.FromMessage(m)
		if err != nil || !e.Time.Equal(m.Time) {
			t.Errorf("%s: %s, %v", text, e.Time, err)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAPayloadThatIsNotAcceptableStillNamesItsEvent(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"not JSON": "{", "two values": "1 2", "not UTF-8": "\"\xff\"", "too large": `"` + strings.Repeat("a", event.MaxPayload) + `"`,
	} {
		e, err := event.FromMessage(message(data))
		if !errors.Is(err, event.ErrBadPayload) || e.ID == "" || e.Trigger != "core.t" {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func TestASubjectThatNamesNoTriggerStillMakesAnEvent(t *testing.T) {
	t.Parallel()
	for _, tail := range []string{"a", "a.b.c", "A.b", "a.0"} {
		m := message(`{}`)
		m.Subject = "attune.event." + tail
		e, err := event.FromMessage(m)
		if !errors.Is(err, event.ErrBadSubject) || e.ID == "" || e.Trigger != tail {
			t.Errorf("%s: %+v, %v", tail, e, err)
		}
	}
}

func TestPublishTwiceIsOneEvent(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	n := event.New{ID: event.DeriveID("hook", "1"), Trigger: "core.t", Payload: json.RawMessage(`{}`), Source: "webhook"}
	id, err := event.Publish(t.Context(), b.JS, n)
	if err != nil || id != n.ID {
		t.Fatalf("publish: %q, %v", id, err)
	}
	if id, err = event.Publish(t.Context(), b.JS, n); !errors.Is(err, event.ErrDuplicate) || id != n.ID {
		t.Fatalf("publish again: %q, %v", id, err)
	}
}

func TestEventsThatAreBegunKeepTheirOrder(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	var begun []event.Pending
	for i := range 100 {
		p, err := event.Begin(b.JS, event.New{ID: event.DeriveID(strconv.Itoa(i % 99)), Trigger: "core.t", Payload: json.RawMessage(strconv.Itoa(i))})
		if err != nil {
			t.Fatal(err)
		}
		begun = append(begun, p)
	}
	for i, p := range begun {
		if err := p.Wait(t.Context()); (i < 99 && err != nil) || (i == 99 && !errors.Is(err, event.ErrDuplicate)) {
			t.Errorf("event %d: %v", i, err)
		}
	}
	s, err := b.JS.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(99) {
		if m, err := s.GetMsg(t.Context(), seq+1); err != nil || string(m.Data) != strconv.FormatUint(seq, 10) {
			t.Fatalf("message %d: %v, %v", seq+1, m, err)
		}
	}
	if _, err := event.Begin(b.JS, event.New{Trigger: "none"}); err == nil {
		t.Error("an event without a trigger was begun")
	}
}

func TestATriggerThatIsNoReferenceIsRefused(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	for _, bad := range []string{"", "core", "core.*", "core.a.b", "a b.c", "Core.t"} {
		if _, err := event.Publish(t.Context(), b.JS, event.New{Trigger: bad}); err == nil {
			t.Errorf("trigger %q was published", bad)
		}
	}
}

func FuzzFromMessageNeverPanicsAndNeverPassesBadJSON(f *testing.F) {
	f.Add("attune.event.core.t", []byte(`{"a":1}`), "1", "x")
	f.Add("attune.event..", []byte{0xff}, "-1", "")
	f.Fuzz(func(t *testing.T, subject string, data []byte, hops, ce string) {
		h := nats.Header{streams.HeaderHops: {hops}, "ce-id": {ce}}
		e, err := event.FromMessage(event.Message{Subject: subject, Header: h, Data: data, Sequence: 1})
		if err == nil && !json.Valid(e.Payload) {
			t.Fatalf("payload %q passed", e.Payload)
		}
	})
}

func TestEventsOfOneSamenessAreOneEventUnderTheFirstID(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	first, err := event.Publish(t.Context(), b.JS, event.New{Trigger: "core.t", Sameness: "core.t digest", Payload: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	again, err := event.Publish(t.Context(), b.JS, event.New{Trigger: "core.t", Sameness: "core.t digest", Payload: json.RawMessage(`{}`)})
	if !errors.Is(err, event.ErrDuplicate) || again != first {
		t.Errorf("published again: %q, %v; want %q and ErrDuplicate", again, err, first)
	}
}
