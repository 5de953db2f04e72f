package bus_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/streams"
)

// BenchmarkStore compares storing messages one by one, concurrently, and as an atomic batch, on a server that
// waits for the disk.
func BenchmarkStore(b *testing.B) {
	s, err := natsserver.Start(natsserver.Config{Dir: b.TempDir(), Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Stop)
	conn, err := bus.Connect(b.Context(), bus.Config{URL: s.URL(), CredsFile: s.CredsFile(), Name: "bench", InProcess: s.InProcess()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	if err := streams.Ensure(b.Context(), conn.JS, streams.Options{}); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 2, 4, 8, 32, 100} {
		b.Run(fmt.Sprintf("batch/%d", n), func(b *testing.B) { storeBatches(b, conn, n) })
		b.Run(fmt.Sprintf("concurrent/%d", n), func(b *testing.B) { storeConcurrently(b, conn, n) })
	}
}

func storeBatches(b *testing.B, conn *bus.Bus, n int) {
	b.Helper()
	for i := range b.N {
		if _, err := conn.PublishBatch(b.Context(), messages(b, n, i)); err != nil {
			b.Fatal(err)
		}
	}
}

func storeConcurrently(b *testing.B, conn *bus.Bus, n int) {
	b.Helper()
	for i := range b.N {
		var wg sync.WaitGroup
		for _, m := range messages(b, n, i) {
			wg.Go(func() {
				if _, err := conn.JS.PublishMsg(b.Context(), m); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

func messages(b *testing.B, n, round int) []*nats.Msg {
	b.Helper()
	msgs := make([]*nats.Msg, n)
	for i := range msgs {
		subject, err := streams.ExecutionSubject("core", "noop", fmt.Sprintf("%s-%d-%d", b.Name()[len("BenchmarkStore/"):len("BenchmarkStore/")+5], round, i))
		if err != nil {
			b.Fatal(err)
		}
		msgs[i] = nats.NewMsg(subject)
		msgs[i].Data = make([]byte, 300)
	}
	return msgs
}
