package process

import (
	"errors"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/sandbox"
)

// untraced is set where the system does not let a process be traced by the one that starts it.
var untraced atomic.Bool

// spawn starts a program and calls started before the program runs its first instruction, so that whatever
// it forks is marked. For that the program is traced up to its exec, which costs about 50 microseconds.
// Where tracing is forbidden, started is called as soon as possible.
func spawn(s Spec, attr *syscall.ProcAttr, started func(pid int)) error {
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	return spawnHere(s, attr, started)
}

// spawnInside is spawn on a thread that has put itself into the program's sandbox. The program inherits that.
func (r *run) spawnInside(attr *syscall.ProcAttr) error {
	done := make(chan error, 1)
	sandbox.Spend(func() {
		err := r.l.sandbox.Enter(r.spec.Sandbox, r.room.inner(), attr)
		if err != nil {
			done <- &SpawnError{Class: Isolation, Path: r.spec.Path, Err: err}
			return
		}
		done <- spawnHere(r.spec, attr, r.started)
	})
	return <-done
}

func spawnHere(s Spec, attr *syscall.ProcAttr, started func(pid int)) error {
	if untraced.Load() {
		return spawnPlain(s, attr, started)
	}
	attr.Sys.Ptrace = true
	pid, err := forkExec(s, attr)
	if errors.Is(err, syscall.EPERM) {
		attr.Sys.Ptrace = false
		if err = spawnPlain(s, attr, started); err == nil {
			untraced.Store(true)
		}
		return err
	}
	if err != nil {
		return err
	}
	waitFor(pid, unix.WSTOPPED|unix.WEXITED)
	started(pid)
	_ = syscall.PtraceDetach(pid) // it may have been killed
	return nil
}

func spawnPlain(s Spec, attr *syscall.ProcAttr, started func(pid int)) error {
	pid, err := forkExec(s, attr)
	if err == nil {
		started(pid)
	}
	return err
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

// waitFor waits until a child has changed its state, and leaves the change for others to take.
func waitFor(pid, change int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, change|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
