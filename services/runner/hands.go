package runner

import "sync"

// hands are goroutines that stay for the next execution when they are done with one. The stack of a new goroutine
// grows as deep as it is used, each time to be copied: for executions of a millisecond that is one part in a hundred of
// all that they take. A new one comes when none waits for work, so there are about as many as were needed at once.
type hands struct {
	work chan func() // taken by whoever has nothing to do; closed when nothing more comes
	all  sync.WaitGroup
}

func newHands() *hands { return &hands{work: make(chan func())} }

// do calls f in the background. Nothing may be done any more after dismiss.
func (h *hands) do(f func()) {
	select {
	case h.work <- f:
	default:
		h.all.Go(func() { h.serve(f) })
	}
}

func (h *hands) serve(f func()) {
	for f != nil {
		f()
		f = <-h.work
	}
}

// dismiss ends all of them, and returns when each is done with what it was given.
func (h *hands) dismiss() {
	close(h.work)
	h.all.Wait()
}
