package process

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/sandbox"
)

// errClosed is returned when a launcher is used after Close.
var errClosed = errors.New("launcher is closed")

// Config describes a Launcher.
type Config struct {
	Seed    string           // names the launcher; the same after a restart, different from every other on the machine
	Environ string           // beginning of an environment string that all its programs have and no other program has; may be ""
	Sandbox *sandbox.Sandbox // of the programs whose Spec has a policy; nil: they are not started
	Logger  *slog.Logger
}

// Launcher starts programs and sees to it that nothing of them stays.
type Launcher struct {
	mark    mark
	environ string
	sandbox *sandbox.Sandbox
	log     *slog.Logger
	rooms   *rooms
	stop    chan struct{}  // closed by Close
	done    sync.WaitGroup // the goroutines that New started

	mu     sync.Mutex // guards the fields below
	guard  guardian
	closed bool
	count  uint32
	runs   map[mark]*run
	mains  map[int]struct{} // pids that their own runs reap
	astir  bool             // something has run, or was left behind, since orphans were looked for
}

// tidyEvery is how often orphans that ended while their program still runs are reaped.
const tidyEvery = time.Second

// NewLauncher makes this process the reaper of its orphans, kills what a launcher with the same seed left
// behind, and starts the guard.
func NewLauncher(c Config) (*Launcher, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper of orphans: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Launcher{
		mark: seedMark(c.Seed), environ: c.Environ, sandbox: c.Sandbox, log: c.Logger, stop: make(chan struct{}),
		rooms: newRooms(),
		runs:  map[mark]*run{}, mains: map[int]struct{}{}, astir: true,
	}
	killFamily(l.mark, l.environ, guardFor)
	g, err := startGuard(l.mark, l.environ)
	if err != nil {
		return nil, err
	}
	l.guard = g
	l.done.Go(l.watchGuard)
	l.done.Go(l.tidyLoop)
	if c.Sandbox.Rooms() {
		l.done.Go(l.prepareRooms)
	}
	return l, nil
}

// Close releases the guard and waits for it. No run may be under way.
func (l *Launcher) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.stop)
	l.guard.release()
	l.mu.Unlock()
	l.done.Wait()
	l.dissolveRooms()
	l.tidy()
}

// watchGuard replaces a guard that was killed.
func (l *Launcher) watchGuard() {
	for {
		l.mu.Lock()
		g := l.guard
		l.mu.Unlock()
		g.wait()
		if !l.replaceGuard(g) {
			return
		}
	}
}

func (l *Launcher) replaceGuard(old guardian) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	old.release()
	l.log.Warn("guard ended, starting another", slog.Int("pid", old.pid))
	g, err := startGuard(l.mark, l.environ)
	if err != nil {
		l.log.Error("no guard: processes would outlive a killed runner", slog.Any("error", err))
		return false
	}
	l.guard = g
	return true
}

func (l *Launcher) tidyLoop() {
	beat := time.NewTimer(lifecycle.UntilBeat(tidyEvery))
	defer beat.Stop()
	for ; ; beat.Reset(lifecycle.UntilBeat(tidyEvery)) {
		select {
		case <-l.stop:
			return
		case <-beat.C:
			if l.stirs() {
				l.tidy()
			}
			l.thinRooms()
		}
	}
}

// stirs tells whether there may be orphans. They are left by programs only, and come here one after the other as those
// above them end: where none was found after everything had ended, there is none.
func (l *Launcher) stirs() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.astir
	l.astir = len(l.runs) > 0
	return was || l.astir
}

func (l *Launcher) stir() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.astir = true
}

// tidy reaps orphans that have ended, and kills those whose program has ended already.
func (l *Launcher) tidy() {
	for _, pid := range adopted() {
		m := markOf(pid)
		if !l.mark.family(m) || l.isMain(pid) {
			continue
		}
		l.stir()
		if zombie(pid) {
			l.reapOrphan(pid)
		} else if !l.active(m) {
			killIf(pid, syscall.SIGKILL, func(pid int) bool { return markOf(pid) == m })
		}
	}
}

func (l *Launcher) reapOrphan(pid int) {
	var status syscall.WaitStatus
	_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil) // another look may have been faster
}

func (l *Launcher) isMain(pid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.mains[pid]
	return ok
}

func (l *Launcher) active(m mark) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[m] != nil
}

// number gives a run its mark.
func (l *Launcher) number(r *run) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	r.mark = l.nextMark()
	l.runs[r.mark], l.astir = r, true
	return nil
}

// nextMark needs mu.
func (l *Launcher) nextMark() mark {
	l.count++
	return l.mark.run(l.count)
}

// started records the first process of a run, which only the run itself may reap.
func (l *Launcher) started(r *run) {
	l.mu.Lock()
	l.mains[r.pid] = struct{}{}
	l.mu.Unlock()
}

func (l *Launcher) forget(r *run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, r.mark)
}
