package rules

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// Decisions are handed over when they are many or have waited, and events are decided until then whatever the disk does.
func TestUnrecordedDecisionsGoWhenTheyAreManyOrHaveWaited(t *testing.T) {
	t.Parallel()
	u, events := newUnrecorded(), make(chan jetstream.Msg)
	if u.room(events) == nil || u.ready() != nil {
		t.Error("nothing is decided: there is no room, or something to record")
	}
	for range recordFrom/maxBurst - 1 {
		u.add(make([]decided, maxBurst))
	}
	u.add(make([]decided, maxBurst-1))
	if u.room(events) == nil || u.ready() != nil {
		t.Error("few decisions: there is no room, or they are to be recorded at once")
	}
	u.late = true
	if u.room(events) == nil || u.ready() == nil {
		t.Error("few decisions that have waited: there is no room, or they are not to be recorded")
	}
	u.late = false
	u.add(make([]decided, maxBurst))
	if u.room(events) != nil || u.ready() == nil {
		t.Error("many decisions: there is room for more, or they are not to be recorded")
	}
	u.handedOver()
	if u.room(events) == nil || u.ready() != nil || u.due.Stop() {
		t.Error("handed over: there is no room, or something to record")
	}
	u.add(make([]decided, 1))
	select {
	case <-u.due.C:
	case <-time.After(30 * time.Second):
		t.Error("a decision is never late")
	}
}

// What a message was before does not show in what it becomes: not in its headers, its subject, or behind a shorter text.
func TestSheetsAreWrittenAnew(t *testing.T) {
	t.Parallel()
	about := func(id, trigger, reason string, rules ...streams.RuleDecision) decided {
		return decided{Decision: streams.Decision{Version: streams.Version, EventID: id, EventSeq: uint64(len(id)), Trigger: trigger, Status: streams.EventDecided, Reason: reason, Rules: rules}}
	}
	var on sheets
	for _, bursts := range [][][]decided{
		{{about("a1", "web.alert", strings.Repeat("long ", 80)), about("a22", "web.alert", "")}, {about("a333", "web.alert", "", streams.RuleDecision{Rule: "web.r", Reason: strings.Repeat("x", 2*maxSheet)})}},
		{{about("b", "none", "no")}},
		{{about("c4444", "web.x", "")}, {about("c1", "web.x", "no"), about("c22", "web.x", ""), about("c333", "web.x", "")}},
	} {
		msgs, err := on.write(bursts)
		if err != nil {
			t.Fatal(err)
		}
		for _, ds := range bursts {
			for _, d := range ds {
				checkSheet(t, msgs[0], d.Decision)
				msgs[0].Header.Set("Nats-Batch-Commit", "1") // as publishing does
				msgs = msgs[1:]
			}
		}
		if len(msgs) != 0 {
			t.Errorf("%d messages are too many", len(msgs))
		}
	}
}

func checkSheet(t *testing.T, m *nats.Msg, d streams.Decision) {
	t.Helper()
	want, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data) != string(want) || !strings.HasSuffix(m.Subject, "."+d.EventID) {
		t.Errorf("%s: %s, want %s", m.Subject, m.Data, want)
	}
	if seq := m.Header.Get(streams.HeaderEventSeq); len(m.Header) != 1 || seq != string(rune('0'+len(d.EventID))) {
		t.Errorf("%s: headers are %v", d.EventID, m.Header)
	}
}
