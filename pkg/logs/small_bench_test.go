package logs_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// Executions of one line each on a server that waits for the disk: time per execution, and what they take on disk.
// With -benchtime 10000x these are the figures of docs/performance.md.
func BenchmarkSmallLogs(b *testing.B) {
	for _, atOnce := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(atOnce, "-at-once"), func(b *testing.B) { benchmarkSmall(b, atOnce) })
	}
}

func benchmarkSmall(b *testing.B, atOnce int) {
	b.Helper()
	conn := durable(b)
	s := open(b, conn)
	var next, took atomic.Int64
	work := func() {
		for next.Add(1) <= int64(b.N) {
			began := time.Now()
			if err := oneLine(s); err != nil {
				b.Error(err)
				return
			}
			took.Add(int64(time.Since(began)))
		}
	}
	b.ResetTimer()
	var all sync.WaitGroup
	for range atOnce {
		all.Go(work)
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(took.Load())/float64(b.N)/1e3, "µs-each")
	for name, unit := range map[string]string{"OBJ_" + streams.ObjectsLogs: "object-B", streams.Logs: "live-B"} {
		info, err := conn.JS.Stream(context.Background(), name)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.CachedInfo().State.Bytes)/float64(b.N), unit)
	}
}

func oneLine(s *logs.Store) error {
	w, err := s.NewWriter(execution.NewID(), logs.Source{Header: streams.HeaderAction, Name: "shop.deploy"}, logs.Limits{})
	if err != nil {
		return err
	}
	if _, err := w.Stdout().Write([]byte("hello, this is one line of a log\n")); err != nil {
		return err
	}
	_, err = w.Close(context.Background())
	return err
}

// durable connects to a server that waits for the disk, by the network's own means as a runner's connection is.
func durable(t testing.TB) *bus.Bus {
	t.Helper()
	server, err := natsserver.Start(natsserver.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	b := natstest.Connect(t, server)
	if err := streams.Ensure(t.Context(), b.JS, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	return b
}
