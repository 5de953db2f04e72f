package rules

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
