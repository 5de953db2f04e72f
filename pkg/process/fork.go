package process

import (
	"errors"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// untraced is set where the system does not let a process be traced by the one that starts it.
var untraced atomic.Bool

// spawn starts the program on a thread that outlives it: the program is to die with the thread that forked it. It is in
// the program's sandbox, if there is one, which the program inherits.
func (r *run) spawn(attr *syscall.ProcAttr) error {
	r.up = make(chan error, 1)
	start := func() {
		err := r.spawnHere(attr)
		r.up <- err
		if err != nil {
			return
		}
		go r.watch()
		if r.room == nil { // that of a room stays with it
			<-r.exited
		}
	}
	if r.spec.Sandbox == nil {
		attr.Sys.Pdeathsig = syscall.SIGKILL
		onThread(start)
	} else if err := r.inside(attr, start); err != nil {
		return &SpawnError{Class: Isolation, Path: r.spec.Path, Err: err}
	}
	err := <-r.up
	if errors.Is(err, unix.ENOMEM) && r.pid == 0 && r.room != nil && !r.room.stands() {
		return unix.ESRCH // as a thread is told that enters a room whose first process has gone
	}
	return err
}

// onThread calls start in the background, on a thread that it has for itself.
func onThread(start func()) {
	go func() {
		runtime.LockOSThread() // the tracer is a thread
		defer runtime.UnlockOSThread()
		start()
	}()
}

// inside is onThread for a program with a sandbox.
func (r *run) inside(attr *syscall.ProcAttr, start func()) error {
	starter, err := r.starter()
	if r.room == nil {
		defer starter.Stop()
	}
	if err == nil {
		starter.Go(r.spec.Sandbox, attr, start)
	}
	return err
}

// spawnHere starts a program and calls started before the program runs its first instruction, so that whatever it forks
// is marked. For that the program is traced up to its exec, which costs about 50 microseconds. Where tracing is
// forbidden, started is called as soon as possible, and a program that is to be held is not started before it is let go.
func (r *run) spawnHere(attr *syscall.ProcAttr) error {
	if !untraced.Load() {
		err := r.spawnTraced(attr)
		if !errors.Is(err, syscall.EPERM) {
			return err
		}
	}
	attr.Sys.Ptrace = false
	if !r.stand() {
		return errDiscarded
	}
	pid, err := forkExec(r.spec, attr)
	if err != nil {
		return err
	}
	if !untraced.Swap(true) {
		r.l.log.Warn("programs may not be traced here: what they fork at once may be marked late, and none is started before its claim")
	}
	r.started(pid)
	return nil
}

func (r *run) spawnTraced(attr *syscall.ProcAttr) error {
	attr.Sys.Ptrace = true
	pid, err := forkExec(r.spec, attr)
	if err != nil {
		return err
	}
	waitFor(pid, unix.WSTOPPED|unix.WEXITED)
	if r.let != nil {
		_ = unix.PtraceSetOptions(pid, unix.PTRACE_O_EXITKILL) // it may have been killed
	}
	r.started(pid)
	if r.stand() {
		_ = syscall.PtraceDetach(pid) // likewise
	}
	return nil
}

// stand says of a program that is held that it stands, and waits until it is known whether it may go on.
func (r *run) stand() bool {
	if r.let == nil {
		return true
	}
	r.up <- nil
	return <-r.let
}

// busyTries bounds how often a start is tried again while somebody still has the file open for writing:
// a file that was just written may be, for an instant, through a concurrent fork.
const busyTries = 8

func forkExec(s Spec, attr *syscall.ProcAttr) (pid int, err error) {
	argv := append([]string{s.argv0()}, s.Args...)
	for try := range busyTries {
		pid, err = syscall.ForkExec(s.Path, argv, attr)
		if !errors.Is(err, syscall.ETXTBSY) {
			break
		}
		time.Sleep(time.Millisecond << try) //nolint:forbidigo // a concurrent fork's child holds the file until its exec; nothing tells when
	}
	return pid, err
}
