package logs_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
)

// One line per execution: what the common case costs.
func BenchmarkOneLine(b *testing.B) {
	s := open(b, natstest.New(b))
	for i := 0; b.Loop(); i++ {
		w, err := s.NewWriter(fmt.Sprint("x", i), logs.Source{}, logs.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		write(b, w.Stdout(), []byte("hello\n"))
		if _, err := w.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// Output that is kept whole.
func BenchmarkKeep(b *testing.B) { benchmarkLarge(b, 1<<40, 256<<20) }

// Output far beyond the limit.
func BenchmarkDrain(b *testing.B) { benchmarkLarge(b, 20<<20, 1<<30) }

func benchmarkLarge(b *testing.B, limit int64, size int) {
	b.Helper()
	s := open(b, natstest.New(b))
	block := noise(64 << 10)
	b.SetBytes(int64(size))
	var peak uint64
	for i := 0; b.Loop(); i++ {
		w, err := s.NewWriter(fmt.Sprint("x", i), logs.Source{}, logs.Limits{StreamBytes: limit})
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < size; n += len(block) {
			write(b, w.Stdout(), block)
			if n%(16<<20) == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
		if _, err := w.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(peak)/(1<<20), "MiB-heap")
}
