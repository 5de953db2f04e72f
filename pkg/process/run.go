package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/sandbox"
)

// Spec describes a program to run.
type Spec struct {
	Path   string   // absolute
	Argv0  string   // "" means Path
	Args   []string // without the program's name
	Dir    string
	Env    []string // all of it; nothing is inherited
	Stdin  []byte
	Extra  [][]byte // inputs on file descriptors 3 and up
	Stdout io.Writer
	Stderr io.Writer

	Together bool // stderr goes into stdout, in the order of writing; Stderr is not used

	Environ string // an environment string that only this program has; "" if there is none

	Timeout   time.Duration // 0: none
	Grace     time.Duration // between TERM and KILL
	WaitDelay time.Duration // how long output may stay open after the program's end; 0: DefaultWaitDelay

	MaxFile int64 // bytes of a file that it may write; 0: no bound

	Sandbox *sandbox.Policy // what it may do, in the sandbox of the launcher; nil: what this process may

	Started func(pid int) // told of the first process before its first instruction; nil: nobody is

	Kill <-chan struct{} // closed when the program must end at once, without a grace; may be nil
}

// DefaultWaitDelay is how long a left-behind process may hold a program's output open.
const DefaultWaitDelay = time.Second

func (s Spec) argv0() string {
	if s.Argv0 == "" {
		return s.Path
	}
	return s.Argv0
}

// Result says how a program ended.
type Result struct {
	ExitCode   int            // 128+n when signal n ended it
	Signal     syscall.Signal // 0 when it exited
	TimedOut   bool           // it was told to end because its time was over
	Canceled   bool           // it was told to end because the context had ended
	Killed     bool           // it did not end within the grace
	Held       bool           // a process left behind kept the output open
	LeftBehind int            // processes that could not be killed
	Started    time.Time
	Ended      time.Time
	CPU        time.Duration
	MaxRSS     int64 // bytes
	OutputErr  error // the first error of a writer; the program went on without it
}

// run is one program under way.
type run struct {
	l      *Launcher
	spec   Spec
	pipes  *pipes
	mark   mark
	room   *room // nil: it has none of its own
	group  *sandbox.Group
	pid    int
	fd     int           // of the first process, until watch has it; -1 where the kernel gives none
	let    chan bool     // whether a held program may go on, or has been killed; nil: it is not held
	up     chan error    // gets what became of the start; of a held program, besides and before, nil when it stands
	exited chan struct{} // closed when the first process has ended; it is not reaped yet
	alone  bool          // it ended by itself, and nothing that it started was there any more
	Result
}

// Run starts a program and returns when its whole tree of processes has ended. The end of ctx and the end of
// its time end the program: TERM to all of it, then KILL after the grace; Kill ends it without one. The error is a SpawnError when it
// could not be started.
func (l *Launcher) Run(ctx context.Context, s Spec) (Result, error) {
	r, err := l.begin(&run{spec: s}, openPipes)
	if err != nil {
		return Result{}, err
	}
	defer r.leave()
	r.pipes.serve()
	r.await(ctx)
	r.finish()
	return r.Result, nil
}

// begin starts a program with the pipes that open makes for it. Nothing is written to them or read from them yet. Who
// has the run leaves it in the end.
func (l *Launcher) begin(r *run, open func(Spec) (*pipes, error)) (*run, error) {
	r.l, r.exited = l, make(chan struct{})
	if r.spec.WaitDelay == 0 {
		r.spec.WaitDelay = DefaultWaitDelay
	}
	if err := l.number(r); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.spec.Path, err)
	}
	if err := r.start(open); err != nil {
		r.leave()
		return nil, err
	}
	return r, nil
}

// leave gives up what belongs to a run that has ended.
func (r *run) leave() {
	r.l.forget(r) // before another has the room, and with it the mark
	r.l.vacate(r)
	r.l.release(r.group)
}

func (r *run) start(open func(Spec) (*pipes, error)) (err error) {
	if r.pipes, err = open(r.spec); err != nil {
		return &SpawnError{Class: Resources, Path: r.spec.Path, Err: err}
	}
	r.Started = time.Now()
	if err := r.pipes.own(r.spec.Sandbox.Owner()); err != nil {
		r.pipes.abandon()
		return &SpawnError{Class: Isolation, Path: r.spec.Path, Err: err}
	}
	attr := &syscall.ProcAttr{
		Dir: r.spec.Dir, Env: r.spec.Env, Files: r.pipes.files(), Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &r.fd},
	}
	if err := r.launch(attr); err != nil {
		r.pipes.abandon()
		return spawnError(r.spec, err)
	}
	return nil
}

// launch starts the program, in a room if it is to have one.
func (r *run) launch(attr *syscall.ProcAttr) error {
	if r.spec.Sandbox == nil {
		return r.spawn(attr)
	}
	for try := 1; ; try++ {
		if err := r.l.house(r); err != nil {
			return &SpawnError{Class: Isolation, Path: r.spec.Path, Err: err}
		}
		err := r.spawn(attr)
		if !errors.Is(err, unix.ESRCH) || r.pid != 0 || try == maxRooms {
			return err
		}
		r.l.leave(r.room) // somebody killed its first process
		r.room = nil
	}
}

// maxRooms is how many rooms are tried before a program is not started.
const maxRooms = 3

func (r *run) started(pid int) {
	r.pid = pid
	r.pipes.closeChild()
	r.l.started(r)
	r.spec.Sandbox.AsOwner(r.limit)
	if r.spec.Started == nil {
		return
	}
	told := make(chan struct{})
	go func() { defer close(told); r.spec.Started(pid) }() // not on this thread, which may be in the program's sandbox
	<-told
}

// limit marks the program and bounds it.
func (r *run) limit() {
	r.mark.set(r.pid)
	if most := uint64(max(r.spec.MaxFile, 0)); most > 0 {
		_ = unix.Prlimit(r.pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: most}, nil) // a bound for accidents only
	}
	if r.spec.Sandbox != nil {
		r.group = r.l.sandbox.Bound(r.spec.Sandbox, r.pid)
	}
}

// await returns when the first process has ended, and tells it to when it must.
func (r *run) await(ctx context.Context) {
	var timeout <-chan time.Time
	if r.spec.Timeout > 0 {
		timer := time.NewTimer(r.spec.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-r.exited:
		return
	case <-timeout:
		r.TimedOut = true
	case <-ctx.Done():
		r.Canceled = true
	case <-r.spec.Kill:
		r.Canceled = true
	}
	r.end()
}

// end asks the whole tree to end and then makes it.
func (r *run) end() {
	if !isClosed(r.spec.Kill) {
		r.signalTree(syscall.SIGTERM)
		if r.endsWithin(r.spec.Grace) {
			return
		}
	}
	r.Killed = true
	r.killTree()
	<-r.exited
}

// endsWithin waits for the first process and then for those that it leaves: they were asked too, and may be
// cleaning up.
func (r *run) endsWithin(grace time.Duration) bool {
	over := time.NewTimer(grace)
	defer over.Stop()
	look := time.NewTicker(killPause)
	defer look.Stop()
	exited, ticks := r.exited, (<-chan time.Time)(nil)
	for {
		select {
		case <-exited:
			exited, ticks = nil, look.C
		case <-ticks:
		case <-over.C:
			return false
		case <-r.spec.Kill:
			return false
		}
		if exited == nil && !r.leftovers() {
			return true
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// finish takes the exit status once nothing of the tree is left and the output is complete.
func (r *run) finish() {
	r.pipes.stopFeeding()
	drained := r.pipes.drained()
	told := r.TimedOut || r.Canceled
	complete := told || within(drained, r.spec.WaitDelay)
	left := r.leftovers()
	if r.alone = !left && !told; !r.alone {
		r.Held = left && !complete
		r.killTree()
	}
	if !within(drained, r.spec.WaitDelay) {
		r.pipes.cutOff()
		<-drained
	}
	r.Held = r.Held || r.pipes.held()
	r.OutputErr = r.pipes.err()
	r.reap()
}

func within(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (r *run) reap() {
	var usage syscall.Rusage
	r.l.mu.Lock()
	status := sandbox.Reap(r.pid, &usage)
	delete(r.l.mains, r.pid)
	r.l.mu.Unlock()
	r.Ended = time.Now()
	r.ExitCode = status.ExitStatus()
	if status.Signaled() {
		r.Signal = status.Signal()
		r.ExitCode = 128 + int(r.Signal)
	}
	r.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	r.MaxRSS = usage.Maxrss << 10
}
