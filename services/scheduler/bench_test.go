package scheduler

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// One queue at limit 1: the time between the end of an execution and the start of the next, as the facts'
// messages say it on the server's clock. The runner is simulated; it claims as fast as it can.
func BenchmarkEndToNextStart(b *testing.B) {
	w := newWorld(b)
	w.awaitLeader(w.schedule("s1"))
	w.run("r1", 4, func(string) {})
	ids := w.requestMany(b.N+1, "core.echo", 1)
	b.ResetTimer()
	w.awaitStatus(ids[b.N], streams.Succeeded)
	b.StopTimer()
	var gaps []time.Duration
	var ended time.Time
	for _, f := range w.history() {
		switch {
		case f.Status == streams.Succeeded:
			ended = f.At
		case f.Status == streams.Running && !ended.IsZero():
			gaps = append(gaps, f.At.Sub(ended))
		}
	}
	slices.Sort(gaps)
	if len(gaps) > 0 {
		b.ReportMetric(float64(gaps[len(gaps)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(gaps[len(gaps)*99/100].Microseconds()), "p99-µs")
	}
}

// Executions through request, admission, claim and end, with a simulated runner.
func BenchmarkThroughput(b *testing.B) {
	for _, queues := range []int{1, 1000, 10_000} {
		b.Run(strconv.Itoa(queues)+" queues", func(b *testing.B) { benchmarkThroughput(b, queues) })
	}
}

func benchmarkThroughput(b *testing.B, queues int) {
	b.Helper()
	w := newWorld(b)
	w.awaitLeader(w.schedule("s1"))
	for i := range 8 {
		w.run("r"+strconv.Itoa(i), 64, func(string) {})
	}
	b.ResetTimer()
	requestConcurrently(b, w, b.N, queues)
	w.await(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
}

func requestConcurrently(b *testing.B, w *world, n, queues int) {
	b.Helper()
	var wg sync.WaitGroup
	const requesters = 16
	for r := range requesters {
		wg.Go(func() {
			for i := r; i < n; i += requesters {
				_, err := w.facts.Request(b.Context(), execution.Request{
					ID: execution.NewID(), Action: "core.echo", PackDigest: "d", Parameters: json.RawMessage(`{}`),
					Key: strconv.Itoa(i % queues), Limit: 4, Pool: streams.DefaultPool,
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// How long a new leader takes until it leads, with so many in line.
func BenchmarkRebuild(b *testing.B) {
	for _, n := range []int{1000, 20_000} {
		b.Run(strconv.Itoa(n)+" queued", func(b *testing.B) {
			w := newWorld(b)
			requestConcurrently(b, w, n, 1000)
			b.ResetTimer()
			for range b.N {
				c := w.schedule("s1")
				w.awaitLeader(c)
				c.stop()
				c.kill()
			}
		})
	}
}
