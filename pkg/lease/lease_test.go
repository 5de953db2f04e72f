package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/lease"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// candidate runs for the lease and tells when it holds it.
func candidate(t *testing.T, b *bus.Bus, owner string) (held chan string, stop context.CancelFunc, done chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	held, done = make(chan string, 8), make(chan error, 1)
	c := lease.Config{JS: b.JS, Key: "test", Owner: owner, Logger: slog.New(slog.DiscardHandler)}
	go func() {
		done <- lease.Run(ctx, c, func(ctx context.Context) error {
			held <- owner
			<-ctx.Done()
			return context.Cause(ctx)
		})
	}()
	t.Cleanup(stop)
	return held, stop, done
}

func TestACleanStopHandsTheLeaseOverAtOnce(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	a, stopA, doneA := candidate(t, b, "a")
	<-a
	c, stopC, doneC := candidate(t, b, "c")
	select {
	case <-c:
		t.Fatal("two hold the lease")
	default:
	}
	began := time.Now()
	stopA()
	<-c
	if took := time.Since(began); took > streams.LeaseTTL/2 {
		t.Errorf("the lease was handed over after %v", took)
	}
	stopC()
	for _, d := range []chan error{doneA, doneC} {
		if err := <-d; !errors.Is(err, context.Canceled) {
			t.Errorf("run ended with %v", err)
		}
	}
}

func TestALeaseThatIsNotRenewedIsTakenWithinItsTTL(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	kv, err := b.JS.KeyValue(t.Context(), streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), "test", []byte(`{"v":1,"owner":"dead"}`)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a, stop, done := candidate(t, b, "a")
	<-a
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took over after %v", took)
	}
	stop()
	<-done
}

// A holder that was stopped and finds another in its place ends its work before it tries again.
func TestAHolderThatWasReplacedStops(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	kv, err := b.JS.KeyValue(t.Context(), streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var working atomic.Int32
	began, ended := make(chan struct{}, 8), make(chan error, 8)
	done := make(chan error, 1)
	go func() {
		c := lease.Config{JS: b.JS, Key: "test", Owner: "a", Logger: slog.New(slog.DiscardHandler)}
		done <- lease.Run(ctx, c, func(ctx context.Context) error {
			if working.Add(1) > 1 {
				t.Error("two at work at once")
			}
			defer working.Add(-1)
			began <- struct{}{}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil
		})
	}()
	<-began
	if _, err := kv.Put(t.Context(), "test", []byte(`{"v":1,"owner":"b"}`)); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, lease.ErrLost) {
		t.Errorf("work ended with %v, want ErrLost", err)
	}
	<-began // b never renews, so a takes it back
	stop()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("run ended with %v", err)
	}
}

func TestAnErrorOfTheWorkEndsRunAndReleases(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	broken := errors.New("broken")
	c := lease.Config{JS: b.JS, Key: "test", Owner: "a", Logger: slog.New(slog.DiscardHandler)}
	if err := lease.Run(t.Context(), c, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("run ended with %v", err)
	}
	kv, err := b.JS.KeyValue(t.Context(), streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(t.Context(), "test"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("the lease was left: %v", err)
	}
}

// A server that starts has no buckets for a moment.
func TestALeaseWhoseBucketIsNotThereIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	if err := b.JS.DeleteKeyValue(t.Context(), streams.BucketLeases); err != nil {
		t.Fatal(err)
	}
	asked, err := b.Conn.SubscribeSync("$JS.API.STREAM.INFO.KV_" + streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	held, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- lease.Run(ctx, lease.Config{JS: b.JS, Key: "test", Owner: "a", Logger: slog.New(slog.DiscardHandler)}, func(ctx context.Context) error {
			close(held)
			<-ctx.Done()
			return context.Cause(ctx)
		})
	}()
	if _, err := asked.NextMsgWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	if err := streams.Ensure(t.Context(), b.JS, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held:
	case err := <-done:
		t.Fatalf("run ended with %v", err)
	}
	stop()
	<-done
}

func TestACampaignGoesOnAfterItsWorkFailed(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	kv, err := b.JS.KeyValue(ctx, streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	terms := 0
	err = lease.Campaign(ctx, lease.Config{JS: b.JS, Key: "test", Owner: "a", Logger: slog.New(slog.DiscardHandler)}, func(context.Context) error {
		if terms++; terms == 3 {
			stop()
		}
		return errors.New("broken")
	})
	if !errors.Is(err, context.Canceled) || terms != 3 {
		t.Errorf("ended with %v after %d terms", err, terms)
	}
	if _, err := kv.Get(t.Context(), "test"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("the lease was left: %v", err)
	}
}

// A renewal that arrived although its answer did not is no loss.
func TestAHolderRecognisesItsOwnRenewal(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	kv, err := b.JS.KeyValue(t.Context(), streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	a, stop, done := candidate(t, b, "a")
	<-a
	own, err := kv.Put(t.Context(), "test", []byte(`{"v":1,"owner":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	w, err := kv.Watch(t.Context(), "test", jetstream.MetaOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Stop() }()
	for e := range w.Updates() {
		if e != nil && e.Revision() > own { // renewed behind it
			break
		}
	}
	select {
	case <-a:
		t.Error("the lease was lost and taken again")
	default:
	}
	stop()
	<-done
}
