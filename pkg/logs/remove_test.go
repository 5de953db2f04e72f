package logs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// messages counts what the bucket and the stream of logs hold.
func messages(t testing.TB, b *bus.Bus) (n uint64) {
	t.Helper()
	for _, name := range []string{"OBJ_" + streams.ObjectsLogs, streams.Logs} {
		s, err := b.JS.Stream(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		n += s.CachedInfo().State.Msgs
	}
	return n
}

// writeLog writes a log of several segments and closes it, or leaves it as a runner does that dies.
func writeLog(t testing.TB, s *logs.Store, id string, complete bool) {
	t.Helper()
	w, err := s.NewWriter(id, logs.Source{}, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.Stdout(), noise(2*logs.MinSegmentBytes+7))
	write(t, w.Stderr(), []byte("short\n"))
	done := w.Close
	if !complete {
		done = w.Suspend
	}
	if _, err := done(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A removal that is cut short anywhere is completed by the next, and nothing is left.
func TestARemovalThatWasCutShortIsCompleted(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	writeLog(t, s, "other", true)
	others := messages(t, b)
	for _, complete := range []bool{true, false} {
		for cut := 1; ; cut += 1 + cut/2 {
			id := fmt.Sprintf("x-%v-%d", complete, cut)
			writeLog(t, s, id, complete)
			if finished := removeUntil(t, b, s, id, cut); finished {
				break
			}
			if err := s.Remove(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if n := messages(t, b); n != others {
				t.Fatalf("cut at %d: %d messages are left, want %d", cut, n, others)
			}
		}
		if n := messages(t, b); n != others {
			t.Fatalf("%d messages are left, want %d", n, others)
		}
	}
}

// removeUntil removes a log and stops at some deletion, and tells whether it came to the end before.
func removeUntil(t *testing.T, b *bus.Bus, s *logs.Store, id string, deletions int) (finished bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	sub, err := b.Conn.Subscribe("$JS.API.STREAM.MSG.DELETE.*", func(*nats.Msg) {
		if seen++; seen == deletions {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := b.Conn.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	err = s.Remove(ctx, id)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return err == nil
}

// What ended long ago has nothing on the bus, and it is not looked for there.
func TestALogThatEndedLongAgoIsRemovedFromTheStoreOnly(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	writeLog(t, s, id, true)
	if err := s.RemoveEnded(t.Context(), id, time.Now().Add(-2*streams.LiveAge)); err != nil {
		t.Fatal(err)
	}
	live, err := b.JS.Stream(t.Context(), streams.Logs)
	if err != nil {
		t.Fatal(err)
	}
	if n := messages(t, b); n == 0 || n != live.CachedInfo().State.Msgs {
		t.Errorf("%d messages are left, %d of them live", n, live.CachedInfo().State.Msgs)
	}
	if err := s.RemoveEnded(t.Context(), id, time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := messages(t, b); n > 0 {
		t.Errorf("%d messages are left", n)
	}
}

// Small logs that ended long ago, from a bucket full of them. Run it with -benchtime=10000x, or 100000x.
func BenchmarkRemove(b *testing.B) {
	nats := natstest.New(b)
	s := open(b, nats)
	fill, ctx := errgroup.Group{}, context.Background()
	fill.SetLimit(16)
	for i := range b.N {
		fill.Go(func() error {
			w, err := s.NewWriter(fmt.Sprint("x", i), logs.Source{}, logs.Limits{})
			if err != nil {
				return err
			}
			_, _ = w.Stdout().Write([]byte("hello\n"))
			_, err = w.Close(ctx)
			return err
		})
	}
	if err := fill.Wait(); err != nil {
		b.Fatal(err)
	}
	bucket, err := nats.JS.Stream(ctx, "OBJ_"+streams.ObjectsLogs)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(bucket.CachedInfo().State.Bytes)/float64(b.N), "stored-B/log")
	b.ResetTimer()
	group := errgroup.Group{}
	group.SetLimit(8)
	for i := range b.N {
		group.Go(func() error { return s.RemoveEnded(ctx, fmt.Sprint("x", i), time.Time{}) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logs/s")
	if info, err := bucket.Info(ctx); err != nil || info.State.Msgs != 0 {
		b.Fatalf("%d messages are left: %v", info.State.Msgs, err)
	}
}
