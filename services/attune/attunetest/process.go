package attunetest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	errUnsaid = errors.New("did not say what was waited for")
	errEnded  = errors.New("ended")
	errStays  = errors.New("does not end")
)

// Process is a running program of Attune that serves until it is told to stop.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended

	mu   sync.Mutex // guards the fields below
	text bytes.Buffer
	more chan struct{} // closed, and made anew, when there is more text
}

// Serve starts `attune serve` with exactly the environment of this process and env. It is stopped when the test
// ends.
func Serve(t testing.TB, env []string, service string) *Process {
	t.Helper()
	p, err := launch(Command(append(append(clean(), "XDG_CONFIG_HOME="+t.TempDir(), WithoutRuntimes(t, unusual...)), env...), "serve", service))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code := p.End(t, syscall.SIGINT); code != 0 {
			t.Errorf("serve %s ended with status %d", service, code)
		}
		if t.Failed() {
			t.Logf("serve %s said:\n%s", service, p.said())
		}
	})
	return p
}

// Launch starts a command, which dies with this process at the latest.
func Launch(cmd *exec.Cmd) (*Process, error) { return launch(cmd) }

// Environment is that of this process, without what configures Attune.
func Environment() []string { return clean() }

// WithoutRuntimes gives the variable with which a runner looks for none of these runtimes. Asking every interpreter of
// a machine takes seconds where many runners start at once.
func WithoutRuntimes(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	const absent = "description: left out of this test\ndetect: {programs: [left-out-of-this-test], ask: [--version]}\nrun: {program: ['{file}']}\n"
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(absent), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "ATTUNE_RUNTIMES_DIR=" + dir
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal. A process that has ended is left alone.
func (p *Process) Signal(s syscall.Signal) { p.signal(s) }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// State tells how the process ended, once it has.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Said is what the process has said so far.
func (p *Process) Said() string { return p.said() }

// AwaitLine returns what the parentheses of the pattern matched in what the process says.
func (p *Process) AwaitLine(t testing.TB, pattern string) string {
	t.Helper()
	found, err := p.await(regexp.MustCompile(pattern))
	if err != nil {
		t.Fatalf("%v\n%s", err, p.said())
	}
	return found
}

// End sends a signal, waits for the end and gives the exit status, -1 when the signal itself ended it. A process
// that has ended is left alone.
func (p *Process) End(t testing.TB, s syscall.Signal) int {
	t.Helper()
	p.signal(s)
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		t.Fatalf("%v\n%s", errStays, p.said())
		return 0
	}
}

// launch starts the command from a thread that lives as long as it does: should this process be killed, the
// kernel kills the command too.
func launch(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, ended: make(chan struct{}), more: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	cmd.WaitDelay = time.Second
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // how it ended is in its state
		close(p.ended)
	}()
	return p, <-started
}

// Write keeps what the process says.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.more)
	p.more = make(chan struct{})
	return p.text.Write(b)
}

func (p *Process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *Process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

func (p *Process) await(pattern *regexp.Regexp) (string, error) {
	deadline := time.After(Patience)
	for {
		p.mu.Lock()
		found, more := pattern.FindSubmatch(p.text.Bytes()), p.more
		p.mu.Unlock()
		if found != nil {
			return string(found[1]), nil
		}
		select {
		case <-more:
		case <-p.ended:
			return "", errEnded
		case <-deadline:
			return "", errUnsaid
		}
	}
}
