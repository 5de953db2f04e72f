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

// One queue at limit 1: the time between the end of an execution and the start of the next, as the facts say it.
// The runner is simulated; it claims as fast as it can. A bare publish with its acknowledgement, on the same server
// in the same run, says how fast the machine is just now.
func BenchmarkEndToNextStart(b *testing.B) {
	w := newWorld(b)
	bare := barePublish(b, w)
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
		p50 := gaps[len(gaps)/2]
		b.ReportMetric(float64(p50.Microseconds()), "p50-µs")
		b.ReportMetric(float64(gaps[len(gaps)*99/100].Microseconds()), "p99-µs")
		b.ReportMetric(float64(bare.Microseconds()), "bare-publish-p50-µs")
		b.ReportMetric(float64(p50)/float64(bare), "bare-publishes")
	}
}

// barePublish is the median time of a publish to a stream and its acknowledgement, one after the other.
func barePublish(b *testing.B, w *world) time.Duration {
	b.Helper()
	subject, err := streams.LogSubject("bare", "stdout")
	if err != nil {
		b.Fatal(err)
	}
	took := make([]time.Duration, 2000)
	for i := range took {
		began := time.Now()
		if _, err := w.bus.JS.Publish(b.Context(), subject, []byte("bare")); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2]
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
	bare := barePublish(b, w)
	b.ResetTimer()
	requestConcurrently(b, w, b.N, queues)
	w.await(b.N)
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "executions/s")
	b.ReportMetric(rate*bare.Seconds(), "of-bare-publishes/s")
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
