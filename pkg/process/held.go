package process

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"
)

// errDiscarded is returned when a held program is not to run any more, and was not started yet.
var errDiscarded = errors.New("the program was discarded")

// Held is a program that stands before its first instruction, with all that it needs. When this process dies, it does
// too, and has not run.
type Held struct {
	r     *run
	taken atomic.Bool // by Run or Discard
}

// Hold starts a program as Run does, but for its first instruction. What Work has is not taken from the Spec. The program
// is to be run or discarded. Where programs cannot be traced its start is left to Run.
func (l *Launcher) Hold(s Spec) (*Held, error) {
	r, err := l.begin(&run{spec: s, let: make(chan bool, 1)}, openPipes)
	if err != nil {
		return nil, err
	}
	return &Held{r: r}, nil
}

// PID is the number of the first process; 0 where it could not be traced. It is to be asked before Run.
func (h *Held) PID() int { return h.r.pid }

// Run lets the program go and returns when its whole tree of processes has ended, as Launcher.Run does.
func (h *Held) Run(ctx context.Context, w Work) (Result, error) {
	if h.taken.Swap(true) {
		return Result{}, errUsed
	}
	r := h.r
	defer r.leave()
	r.spec.Timeout, r.spec.Grace, r.spec.Kill = w.Timeout, w.Grace, w.Kill
	r.Started = time.Now()
	r.let <- true
	if err := <-r.up; err != nil {
		r.pipes.abandon()
		return Result{}, spawnError(r.spec, err)
	}
	if w.Given != nil {
		w.Given()
	}
	r.pipes.lead(w)
	r.pipes.serve()
	r.await(ctx)
	r.finish()
	return r.Result, nil
}

// Discard ends the program, which has not run, and returns when it has gone.
func (h *Held) Discard() {
	if h.taken.Swap(true) {
		return
	}
	r := h.r
	defer r.leave()
	if r.pid != 0 {
		_ = syscall.Kill(r.pid, syscall.SIGKILL) // somebody else may have killed it
	}
	r.let <- false
	if err := <-r.up; err != nil {
		r.pipes.abandon()
		return
	}
	<-r.exited
	r.pipes.lead(Work{})
	r.pipes.serve()
	r.finish()
}
