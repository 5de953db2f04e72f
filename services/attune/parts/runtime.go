package parts

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// leastHeap is the size of the heap, in bytes, below which it is not collected. What lives in a process is some 15 MB, so
// that by the runtime's rule, at twice as much, one in forty executions would meet a collection, which keeps both of two
// processors busy for 10 ms.
const leastHeap = 64 << 20

// Tune sets the runtime of Go up for a process of services. GOMAXPROCS and GOGC of the environment count more.
func Tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		overcommit()
	}
	if os.Getenv("GOGC") == "" {
		keepHeap(0)
	}
}

// overcommit has twice as many goroutines run at once as there are processors. One that waits in the kernel for a program
// or the disk keeps its turn until the runtime takes it away, some 20 µs to 10 ms later: with as many turns as
// processors a quarter of the machine stood idle at full load.
//
// The runtime does not follow changes of a container's limit any more then.
func overcommit() { runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0)) }

// keepHeap lets the heap grow to leastHeap, or to twice what lives in it if that is more, now and after each collection.
// It is told by how many percent the heap may grow so far.
func keepHeap(percent int) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if wanted := growth(live[0].Value.Uint64()); wanted != percent {
		debug.SetGCPercent(wanted)
		percent = wanted
	}
	collected := new([2]uintptr) // of 16 bytes: smaller objects share a block, and its end
	runtime.AddCleanup(collected, keepHeap, percent)
}

// growth gives by how many percent the heap may grow beyond what lives in it. It comes in steps, because to set it stops
// the process for a moment.
func growth(live uint64) int {
	const step, most = 50, 1000
	if live >= leastHeap/2 {
		return 100
	}
	wanted := 100 * float64(leastHeap-live) / float64(max(live, 1))
	return min(most, step*int(math.Ceil(wanted/step)))
}
