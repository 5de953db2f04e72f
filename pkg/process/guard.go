package process

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/attune/attune/pkg/sandbox"
)

// GuardName is what a guard process is called in lists of processes.
const GuardName = "attune-guard"

// init makes this process a guard when it was started as one. It has to happen before anything else does.
func init() {
	if len(os.Args) == 3 && os.Args[0] == GuardName {
		os.Exit(guard(os.Args[1], os.Args[2]))
	}
}

// How long a guard goes on killing, and how long it waits between looks.
const (
	guardFor   = 10 * time.Second
	guardEvery = 5 * time.Millisecond
)

// guard waits until the launching process has gone, which ends the pipe on standard input, and then kills
// everything that carries its mark.
func guard(markText, environ string) int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	value, err := strconv.ParseUint(markText, 10, 64)
	if err != nil {
		return 2
	}
	for one := make([]byte, 1); ; {
		if n, err := os.Stdin.Read(one); n == 0 || err != nil {
			break
		}
	}
	killFamily(mark(value), environ, guardFor)
	return 0
}

// killFamily kills whatever any run of a launcher left, until two looks in a row find nothing.
func killFamily(m mark, environ string, within time.Duration) {
	whose := func(pid int) bool { return m.family(markOf(pid)) || hasEnviron(pid, environ) }
	deadline := time.Now().Add(within)
	for clean := 0; clean < 2 && time.Now().Before(deadline); time.Sleep(guardEvery) { //nolint:forbidigo // the table of processes is looked at again; it tells nobody of changes
		clean++
		for _, pid := range every() {
			if killIf(pid, syscall.SIGKILL, whose) {
				clean = 0
			}
		}
	}
}

// guardian is the launcher's side of a guard: the write end of the pipe that it reads.
type guardian struct {
	pid  int
	hold *os.File
}

func startGuard(m mark, environ string) (guardian, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return guardian{}, fmt.Errorf("start guard: pipe: %w", err)
	}
	defer func() { _ = r.Close() }() // the guard has its own copy
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return guardian{}, fmt.Errorf("start guard: %w", err)
	}
	defer func() { _ = null.Close() }() // likewise
	pid, err := syscall.ForkExec("/proc/self/exe", []string{GuardName, strconv.FormatUint(uint64(m), 10), environ}, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOGC=off", "GOMAXPROCS=1"}, Files: []uintptr{r.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		_ = w.Close() // nobody reads it
		return guardian{}, fmt.Errorf("start guard: %w", err)
	}
	return guardian{pid: pid, hold: w}, nil
}

// release lets the guard look a last time and end.
func (g guardian) release() { _ = g.hold.Close() }

// wait returns when the guard has ended.
func (g guardian) wait() { sandbox.Reap(g.pid, nil) }
