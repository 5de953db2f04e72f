package faulttest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/attune/attune/services/attune/attunetest"
)

// node is a service that the cluster has, and the process that is it now.
type node struct {
	name    string
	command func(plan string) *exec.Cmd
	kept    sync.WaitGroup // whoever starts it again

	mu      sync.Mutex // guards the fields below
	process *attunetest.Process
	lives   []*attunetest.Process
	leave   chan struct{} // closed when it is no longer to be started again; nil when it is not kept
}

// start starts the process with a plan of failpoints.
func (n *node) start(t testing.TB, plan string) *attunetest.Process {
	t.Helper()
	p, err := n.launch(plan)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (n *node) launch(plan string) (*attunetest.Process, error) {
	p, err := attunetest.Launch(n.command(plan))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", n.name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process = p
	n.lives = append(n.lives, p)
	return p, nil
}

// now is the process that runs, or ran last.
func (n *node) now() *attunetest.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

// kill ends the process without a word and returns when it has ended.
func (n *node) kill() {
	p := n.now()
	p.Signal(syscall.SIGKILL)
	<-p.Ended()
}

// keep starts the process again whenever it ends, each time with the plan that next gives.
func (n *node) keep(t testing.TB, next func() string) {
	t.Helper()
	leave := make(chan struct{})
	n.mu.Lock()
	n.leave = leave
	n.mu.Unlock()
	n.kept.Go(func() {
		for {
			select {
			case <-leave:
				return
			case <-n.now().Ended():
			}
			select {
			case <-leave:
				return
			default:
			}
			if _, err := n.launch(next()); err != nil {
				t.Error(err)
				return
			}
		}
	})
}

// unkeep lets it end for good.
func (n *node) unkeep() {
	n.mu.Lock()
	if n.leave != nil {
		close(n.leave)
		n.leave = nil
	}
	n.mu.Unlock()
	n.kept.Wait()
}

// stop ends it as an operator would.
func (n *node) stop(t testing.TB) {
	t.Helper()
	n.unkeep()
	p := n.now()
	if p == nil {
		return
	}
	p.Signal(syscall.SIGCONT)
	p.End(t, syscall.SIGINT)
}

// judge reports what no process may say, and on failure what all of them said.
func (n *node) judge(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for life, p := range n.lives {
		said := p.Said()
		for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: ", "Permissions Violation"} {
			if strings.Contains(said, bad) {
				t.Errorf("%s said %q in its life %d:\n%s", n.name, bad, life+1, said)
			}
		}
		if code := p.State().ExitCode(); code > 0 {
			t.Errorf("%s gave up with status %d in its life %d of %d:\n%s", n.name, code, life+1, len(n.lives), tail(said, 5))
		}
		if t.Failed() {
			t.Logf("%s in its life %d of %d (process %d, %v) said at last:\n%s", n.name, life+1, len(n.lives), p.PID(), p.State(), tail(said, 40))
		}
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// parent gives the id of a process's parent, 0 when it is no more.
func parent(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 2 {
		return 0
	}
	p, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return p
}

// ended tells whether the process has ended.
func (n *node) ended() bool {
	select {
	case <-n.now().Ended():
		return true
	default:
		return false
	}
}
