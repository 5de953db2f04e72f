package bus_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// wordlike are messages without data that look like word of the server, in front of one that does not.
func wordlike(t *testing.T, b *bus.Bus) (statuses []string) {
	t.Helper()
	for _, status := range []string{"100", "400", "404", "408", "409", "423", "503", "x", ""} {
		m := &nats.Msg{Subject: "attune.event.core.test", Header: nats.Header{"Status": {status}, "Description": {"Consumer Deleted"}}}
		if _, err := b.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

func TestMessagesWithAnyHeaderAreFollowed(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	want := wordlike(t, b)
	ctx, stop := context.WithCancel(t.Context())
	var got []string
	err := b.Follow(ctx, streams.Events, 1, func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Stream != uint64(len(got)+1) {
			t.Errorf("%+v, %v behind %d", meta, err, len(got))
		}
		if got = append(got, m.Headers().Get("Status")); len(got) == len(want) {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || !slices.Equal(got, want) {
		t.Errorf("got %q, want %q, %v", got, want, err)
	}
}

func TestMessagesWithAnyHeaderAreFetchedAndAcknowledged(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	want := wordlike(t, b)
	p, err := b.NewPull(streams.Events, streams.ConsumerRecorder, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var got []string
	for range 2 { // and one is left
		batch, err := p.Fetch(t.Context(), bus.Wanted{Messages: 4, Wait: time.Minute / 4})
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range batch {
			got = append(got, m.Headers().Get("Status"))
			end := m.Ack
			if i == 0 {
				end = func() error { return m.TermWithReason("of a test") }
			}
			if err := errors.Join(end(), b.Conn.Flush()); err != nil {
				t.Error(err)
			}
		}
	}
	if rest, err := p.Fetch(t.Context(), bus.Wanted{Messages: 4}); err != nil || len(got)+len(rest) != len(want) {
		t.Errorf("got %q and then %d, want %q, %v", got, len(rest), want, err)
	}
	if none, err := p.Fetch(t.Context(), bus.Wanted{Messages: 4, Wait: time.Millisecond}); err != nil || len(none) != 0 {
		t.Errorf("%d are left, %v", len(none), err)
	}
	c, err := b.JS.Consumer(t.Context(), streams.Events, streams.ConsumerRecorder)
	if err != nil {
		t.Fatal(err)
	}
	if info := c.CachedInfo(); info.NumRedelivered != 0 || info.NumPending != 0 {
		t.Errorf("%+v", info)
	}
}

// The server may say of a request that has brought everything that it is complete, which is not about the next one.
func TestWordOfAnEarlierRequestEndsNoLaterOne(t *testing.T) {
	t.Parallel()
	const each, rounds = 100, 10
	b := natstest.New(t)
	for range each * rounds {
		if _, err := b.JS.PublishAsync("attune.event.core.test", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	<-b.JS.PublishAsyncComplete()
	p, err := b.NewPull(streams.Events, streams.ConsumerRecorder, each)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for round := range rounds {
		batch, err := p.Fetch(t.Context(), bus.Wanted{Messages: each, Bytes: 16 << 20, Wait: time.Minute / 4})
		if err != nil || len(batch) != each {
			t.Errorf("round %d: %d, %v", round, len(batch), err)
		}
	}
}

// What is large comes in several requests.
func TestMoreThanOneRequestMayBringIsFollowed(t *testing.T) {
	t.Parallel()
	const n = 1200
	b := natstest.New(t)
	large := make([]byte, 256<<10)
	for i := range n {
		data := large[:1]
		if i < n/8 {
			data = large
		}
		if _, err := b.JS.PublishAsync("attune.event.core.test", data); err != nil {
			t.Fatal(err)
		}
	}
	<-b.JS.PublishAsyncComplete()
	ctx, stop := context.WithCancel(t.Context())
	got := 0
	err := b.Follow(ctx, streams.Events, 11, func(jetstream.Msg) {
		if got++; got == n-10 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || got != n-10 {
		t.Errorf("%d came, %v", got, err)
	}
}

func TestFollowingEndsWithTheConsumer(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	wordlike(t, b)
	gone := false
	err := b.Follow(t.Context(), streams.Events, 1, func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if !gone {
			gone = true
			if err := b.JS.DeleteConsumer(t.Context(), streams.Events, meta.Consumer); err != nil {
				t.Error(err)
			}
		}
	})
	if !errors.Is(err, bus.ErrPullEnded) {
		t.Errorf("ended with %v", err)
	}
}

func TestFollowingEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	b := natstest.Connect(t, s)
	wordlike(t, b)
	restarted := false
	err := b.Follow(t.Context(), streams.Events, 1, func(jetstream.Msg) {
		if restarted {
			return
		}
		restarted = true
		if err := s.Restart(); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, bus.ErrInterrupted) && !errors.Is(err, bus.ErrPullEnded) {
		t.Errorf("ended with %v", err)
	}
}
