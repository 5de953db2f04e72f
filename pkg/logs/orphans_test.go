package logs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// orphan stores the chunks of an object without its description.
func orphan(t testing.TB, b *bus.Bus, size int) {
	t.Helper()
	msgs, err := bus.ObjectMessages(streams.ObjectsLogs, jetstream.ObjectMeta{Name: "x"}, noise(size))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs[:len(msgs)-1] {
		if _, err := b.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChunksOfNoObjectAreRemovedOnceTheyAreOld(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	raw := noise(3 * logs.MinSegmentBytes)
	write(t, w.Stdout(), raw)
	closeWriter(t, w)
	before := stored(t, b)
	for range 3 {
		orphan(t, b, 300_000)
	}
	for _, step := range []struct {
		age        time.Duration
		most, want int
	}{{time.Hour, 10, 0}, {0, 2, 2}, {0, 10, 1}, {0, 10, 0}} {
		if got, err := s.RemoveOrphans(t.Context(), step.age, step.most); err != nil || got != step.want {
			t.Errorf("%+v: %d, %v", step, got, err)
		}
	}
	if after := stored(t, b); after != before {
		t.Errorf("%d messages, want %d", after, before)
	}
	equal(t, read(t, s, stdout(0)), raw)
}

func stored(t testing.TB, b *bus.Bus) uint64 {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), "OBJ_"+streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// Looking through 100,000 objects without finding anything.
func BenchmarkRemoveOrphans(b *testing.B) {
	conn := natstest.New(b)
	s := open(b, conn)
	for n := range 100_000 {
		msgs, err := bus.ObjectMessages(streams.ObjectsLogs, jetstream.ObjectMeta{Name: fmt.Sprintf("0192f0c1-0000-7000-8000-%012d/manifest.json", n)}, []byte("{}"))
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range msgs {
			if _, err := conn.JS.PublishMsgAsync(m); err != nil {
				b.Fatal(err)
			}
		}
		if n%1000 == 999 {
			<-conn.JS.PublishAsyncComplete()
		}
	}
	began := processorTime(b)
	for b.Loop() {
		if n, err := s.RemoveOrphans(b.Context(), 0, 1000); n > 0 || err != nil {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric((processorTime(b)-began).Seconds()/float64(b.N), "cpu-s/op")
}
