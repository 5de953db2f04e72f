package history_test

import (
	"testing"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// BenchmarkApplyFacts writes whole lives of executions, 100 at once.
func BenchmarkApplyFacts(b *testing.B) {
	s, seq := history.New(dbtest.New(b)), uint64(1)
	for b.Loop() {
		var facts []history.FactAt
		for range 100 {
			facts = append(facts, life(execution.NewID(), seq, streams.Running, streams.Succeeded)...)
			seq += 3
		}
		apply(b, s, facts...)
	}
	b.ReportMetric(float64(100*b.N)/b.Elapsed().Seconds(), "executions/s")
}
