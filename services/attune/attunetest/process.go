package attunetest

import (
	"bufio"
	"bytes"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	errNotReady = errors.New("not ready in time")
	errEnded    = errors.New("ended before it was ready")
	errStays    = errors.New("does not end")
)

// process is one running `attune up`.
type process struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when it has greeted
	ended chan struct{} // closed when it has ended

	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// launch starts the command from a thread that lives as long as it does: should this process be killed, the
// kernel kills the command too.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{})}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = p
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.read(bufio.NewReader(out))
		_ = cmd.Wait() // how it ended is in its state
		close(p.ended)
	}()
	return p, <-started
}

// read looks for the greeting.
func (p *process) read(out *bufio.Reader) {
	greeted := false
	for {
		line, err := out.ReadString('\n')
		_, _ = p.Write([]byte(line)) // never fails
		if !greeted && strings.HasPrefix(line, "Ctrl-C stops it") {
			greeted = true
			close(p.ready)
		}
		if err != nil {
			return
		}
	}
}

// Write keeps what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

func (p *process) awaitReady() error {
	select {
	case <-p.ready:
		return nil
	case <-p.ended:
		return errEnded
	case <-time.After(Patience):
		return errNotReady
	}
}

// await waits for the end and gives the exit status, -1 after a signal.
func (p *process) await() (int, error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(Patience):
		return 0, errStays
	}
}
