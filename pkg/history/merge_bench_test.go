package history

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/streams"
)

// BenchmarkMergeFacts merges the facts of 150 executions into rows, without a database.
func BenchmarkMergeFacts(b *testing.B) {
	const executions = 150
	now := time.Now()
	var facts []FactAt
	for range executions {
		id := uuid.NewString()
		for _, status := range []streams.Status{streams.Requested, streams.Running, streams.Succeeded} {
			facts = append(facts, FactAt{Seq: uint64(len(facts) + 1), Fact: streams.Fact{
				Version: streams.Version, ID: id, Action: "bench.work", Status: status, Attempt: 1, At: now, RequestedAt: now, Parameters: []byte(`{"host":"web1"}`),
			}})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mergeFacts(facts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*executions), "ns/execution")
}
