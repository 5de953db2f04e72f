package recorder

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// While a whole batch waits, nothing is waited for: a backlog is recorded as fast as it can be written.
func TestASessionKnowsWhatWaitsBehindItsBatch(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	const all = 3 * bus.MaxBatch
	for range all / bus.MaxBatch {
		msgs := make([]*nats.Msg, bus.MaxBatch)
		for i := range msgs {
			msgs[i] = &nats.Msg{Subject: "attune.event.disks.full", Data: []byte(`{}`)}
		}
		if _, err := b.PublishBatch(t.Context(), msgs); err != nil {
			t.Fatal(err)
		}
	}
	l := &lane[history.Received]{Recorder: &Recorder{Config: Config{Bus: b}}, stream: streams.Events}
	s, err := l.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for got := 0; got < all; {
		batch, err := s.collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got += len(batch)
		if want := uint64(all - got); len(batch) > 0 && s.pending != want {
			t.Fatalf("behind a batch of %d wait %d, want %d", len(batch), s.pending, want)
		}
	}
}
