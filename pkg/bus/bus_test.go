package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

func batch(t *testing.T, n int, id func(int) string) []*nats.Msg {
	t.Helper()
	var msgs []*nats.Msg
	for i := range n {
		subject, err := streams.ExecutionSubject("core", "echo", id(i))
		if err != nil {
			t.Fatal(err)
		}
		m := nats.NewMsg(subject)
		m.Header.Set("Nats-Expected-Last-Subject-Sequence", "0")
		msgs = append(msgs, m)
	}
	return msgs
}

func TestABatchIsStoredWhole(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	for _, n := range []int{1, 2, bus.MaxBatch} {
		before := length(t, b)
		last, err := b.PublishBatch(t.Context(), batch(t, n, func(i int) string { return fmt.Sprintf("n%d-%d", n, i) }))
		if err != nil {
			t.Fatalf("batch of %d: %v", n, err)
		}
		if got := length(t, b); got != before+uint64(n) || last != got {
			t.Errorf("batch of %d: %d messages from %d, last %d", n, got, before, last)
		}
	}
}

func TestABatchThatIsRefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	if _, err := b.PublishBatch(t.Context(), batch(t, 1, func(int) string { return "taken" })); err != nil {
		t.Fatal(err)
	}
	_, err := b.PublishBatch(t.Context(), batch(t, 3, func(i int) string { return []string{"a", "taken", "b"}[i] }))
	var api *jetstream.APIError
	if !errors.As(err, &api) || !streams.IsStale(err) {
		t.Errorf("batch with a taken subject: %v, want a stale refusal", err)
	}
	if n := length(t, b); n != 1 {
		t.Errorf("%d messages are stored, want 1", n)
	}
}

func TestABatchOfNoneOrTooManyIsRefused(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	for _, n := range []int{0, bus.MaxBatch + 1} {
		if _, err := b.PublishBatch(t.Context(), batch(t, n, func(i int) string { return fmt.Sprint(i) })); !errors.Is(err, bus.ErrBatchSize) {
			t.Errorf("batch of %d: %v", n, err)
		}
	}
}

func length(t *testing.T, b *bus.Bus) uint64 {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), streams.Executions)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func TestConnectWaitsForAServerUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := bus.Connect(ctx, bus.Config{URL: "nats://" + addr}); err == nil {
		t.Error("connected to nothing")
	}
	if _, err := bus.Connect(t.Context(), bus.Config{URL: "nats://" + addr, FailFast: true}); err == nil {
		t.Error("connected to nothing")
	}
}
