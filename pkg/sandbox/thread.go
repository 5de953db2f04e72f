package sandbox

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs a function on a thread that ends with it, whatever it did to itself.
func onThread(f func() error) error {
	done := make(chan error, 1)
	Spend(func() { done <- f() })
	return <-done
}

// Spend runs a function in the background, on a thread that nothing else will run on afterwards. It is never the first
// one of the process: that one cannot end, and is what others see of the process.
func Spend(f func()) {
	go func() {
		runtime.LockOSThread() // for good: a goroutine that ends locked takes its thread along
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		defer runtime.UnlockOSThread()
		other := make(chan struct{})
		Spend(func() { defer close(other); f() })
		<-other // until then the first thread is taken
	}()
}
