package parts

import (
	"os"
	"runtime"
)

// Overcommit lets a process that starts programs run twice as many goroutines at once as there are processors, unless
// GOMAXPROCS says how many. One that waits in the kernel for a program or the disk keeps its turn until the runtime takes
// it away, some 20 µs to 10 ms later: with as many turns as processors a quarter of the machine stood idle at full load.
//
// The runtime does not follow changes of a container's limit any more then.
func Overcommit() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}
