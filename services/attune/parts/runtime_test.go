package parts

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestTheHeapGrowsToItsLeastSizeAndThenAsItLives(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		live uint64
		want int
	}{{0, 1000}, {1 << 20, 1000}, {16 << 20, 300}, {31 << 20, 150}, {32 << 20, 100}, {33 << 20, 100}, {1 << 30, 100}} {
		if got := growth(x.live); got != x.want {
			t.Errorf("%d bytes live: %d %%, want %d", x.live, got, x.want)
		}
	}
}

// garbage is what the test leaves behind, so that it is not kept on a stack.
var garbage []byte

func TestASmallHeapIsCollectedSeldom(t *testing.T) { //nolint:paralleltest // it changes and counts collections of the process
	if debug.SetGCPercent(100) != 100 {
		t.Skip("GOGC is set")
	}
	defer debug.SetGCPercent(100)
	keepHeap(0)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const total = 8 * leastHeap
	for range total >> 16 {
		garbage = make([]byte, 1<<16)
	}
	runtime.ReadMemStats(&after)
	if n := after.NumGC - before.NumGC; n < 1 || n > 24 { // by itself, from 4 MB on, some hundred
		t.Errorf("%d collections for %d bytes", n, total)
	}
}
