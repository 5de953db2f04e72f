// Package attunetest runs Attune as its users do: the real program, as a process of its own, with a data
// folder of its own and free ports.
//
// It guarantees that the program is built once per test process, that an instance is ready when it is given
// out, that what it said is in the test's log when the test fails, and that nothing of it is left afterwards.
package attunetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/local"
)

// Patience bounds every wait of this package: for the first start, for a drain, for one command.
const Patience = 2 * time.Minute

// Options are what a test may choose about an instance.
type Options struct {
	Env []string // further variables, such as ATTUNE_SLOTS=1
	Dir string   // data folder; empty: a fresh one

	User uint32 // who it runs as, where the test is root; 0: as the test does

	AllRuntimes bool // its runner looks for all of them, and not for the usual ones only
}

// unusual are the runtimes that few tests use.
var unusual = []string{"container", "bun", "deno", "ruby", "perl", "php"}

// Instance is one installation: a data folder, and the process that serves it, if one runs now.
type Instance struct {
	Dir string
	local.Announcement

	t       testing.TB
	opts    Options
	process *Process
}

// Start makes an installation and starts it.
func Start(t testing.TB, o Options) *Instance {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(folder(t), "data")
	}
	if o.User != 0 {
		for _, dir := range []string{o.Dir, o.Dir + ".config"} {
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, int(o.User), int(o.User))); err != nil {
				t.Fatal(err)
			}
		}
		o.Env = append([]string{"HOME=" + o.Dir + ".config"}, o.Env...)
	} else if !o.AllRuntimes {
		o.Env = append([]string{WithoutRuntimes(t, unusual...)}, o.Env...)
	}
	in := &Instance{Dir: o.Dir, t: t, opts: o}
	t.Cleanup(in.cleanUp)
	in.Restart()
	return in
}

// DataDir is a data folder for a service that is a process of its own. An ordinary user can remove the packs in it.
func DataDir(t testing.TB) string {
	t.Helper()
	return folder(t)
}

// folder is like t.TempDir, in a place that PostgreSQL's user can reach.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "attune-test-") //nolint:usetesting // t.TempDir lies in a folder closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		writable(dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writable lets an ordinary user remove the packs that a runner keeps, which nobody may write.
func writable(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // a folder needs x; what fails shows when it is removed
		}
		return nil
	})
}

// Restart starts the installation's process, which must not run, and returns when it is ready.
func (in *Instance) Restart() {
	in.t.Helper()
	cmd := Command(in.environment(), "up", "--data", in.Dir, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	if in.opts.User != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: in.opts.User, Gid: in.opts.User}}
	}
	p, err := launch(cmd)
	if err != nil {
		in.t.Fatal(err)
	}
	in.process = p
	p.AwaitLine(in.t, `(Ctrl-C stops it)`)
	if in.Announcement, err = local.Read(in.Dir); err != nil {
		in.t.Fatal(err)
	}
}

// environment is this process's, without what would make an instance anything but fresh.
func (in *Instance) environment() []string {
	env := append(clean(), "XDG_CONFIG_HOME="+in.Dir+".config", "ATTUNE_DATA_DIR="+in.Dir)
	return append(env, in.opts.Env...)
}

func clean() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "ATTUNE_") || strings.HasPrefix(v, "XDG_CONFIG_HOME=")
	})
	return append(env, "ATTUNE_ISOLATION_WRITE="+playground())
}

// EndAtOnce is the variable with which a command that looks for races does not rest for a second when it ends: a script
// has fifty. Services are given that second. What the test process has in this variable comes later and wins.
func EndAtOnce() string { return "GORACE=atexit_sleep_ms=0 " + os.Getenv("GORACE") }

// Kill ends the process as a power failure would: it gets no say.
func (in *Instance) Kill() {
	in.t.Helper()
	in.end(syscall.SIGKILL)
}

// Stop asks the process to stop, as Ctrl-C does, and gives its exit status.
func (in *Instance) Stop() int {
	in.t.Helper()
	return in.end(syscall.SIGINT)
}

// StopTwice is Stop, with a second Ctrl-C while it finishes what runs.
func (in *Instance) StopTwice() int {
	in.t.Helper()
	in.process.signal(syscall.SIGINT)
	in.process.AwaitLine(in.t, `(stopping)`)
	return in.end(syscall.SIGINT)
}

func (in *Instance) end(s syscall.Signal) int {
	in.t.Helper()
	p := in.process
	in.process = nil
	return p.End(in.t, s)
}

func (in *Instance) cleanUp() {
	if in.process == nil {
		return
	}
	said := in.process.said
	if code := in.Stop(); code != 0 {
		in.t.Errorf("attune up ended with status %d", code)
	}
	for line := range strings.Lines(said()) {
		if Forbidden(line) {
			in.t.Errorf("a service did what its user of NATS may not: %s", line)
		}
	}
	if in.t.Failed() {
		in.t.Logf("attune up said:\n%s", said())
	}
}

// Forbidden tells the lines of a service's log that say that NATS refused it a subject.
func Forbidden(line string) bool {
	return strings.Contains(strings.ToLower(line), "permissions violation")
}

// PID is the process's id.
func (in *Instance) PID() int { return in.process.PID() }

// AwaitLine returns what the parentheses of the pattern matched in what the instance's process says.
func (in *Instance) AwaitLine(pattern string) string {
	in.t.Helper()
	return in.process.AwaitLine(in.t, pattern)
}

// Said is what the instance's process has said so far.
func (in *Instance) Said() string { return in.process.said() }

// Client gives a client of the instance's API.
func (in *Instance) Client() *client.Client {
	in.t.Helper()
	c, err := client.New(client.Config{URL: in.APIURL, Token: in.Token})
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(c.Close)
	return c
}

// Bus gives a connection to the instance's NATS server.
func (in *Instance) Bus() *bus.Bus {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	b, err := bus.Connect(ctx, bus.Config{URL: in.NATSURL, CredsFile: in.NATSCreds, Name: in.t.Name(), FailFast: true})
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(b.Close)
	return b
}

// Output is what a command wrote and how it ended.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a client command on the instance's machine.
func (in *Instance) Run(args ...string) Output {
	in.t.Helper()
	return run(in.t, Command(in.environment(), args...))
}

// Feed is Run for a command that reads from its standard input.
func (in *Instance) Feed(stdin string, args ...string) Output {
	in.t.Helper()
	cmd := Command(in.environment(), args...)
	cmd.Stdin = strings.NewReader(stdin)
	return run(in.t, cmd)
}

// Run runs the program without an instance.
func Run(t testing.TB, args ...string) Output {
	t.Helper()
	return RunWith(t, nil, args...)
}

// RunWith is Run with further variables in the environment.
func RunWith(t testing.TB, env []string, args ...string) Output {
	t.Helper()
	return run(t, Command(append(append(clean(), "XDG_CONFIG_HOME="+t.TempDir()), env...), args...))
}

// Exec runs any command with the instance's environment, such as the nats command line.
func (in *Instance) Exec(name string, args ...string) Output {
	in.t.Helper()
	return run(in.t, in.Cmd(name, args...))
}

// Cmd is any command with the instance's environment, for the test to start.
func (in *Instance) Cmd(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(in.environment(), EndAtOnce())
	return cmd
}

func run(t testing.TB, cmd *exec.Cmd) Output {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(cmd.Env, EndAtOnce())
	timer := time.AfterFunc(Patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Processes lists the processes that work in or with the installation's folder, the instance's own included.
func (in *Instance) Processes() []string {
	in.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		in.t.Fatal(err)
	}
	var found []string
	for _, p := range all {
		line, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		if bytes.Contains(line, []byte(in.Dir)) || strings.HasPrefix(cwd, in.Dir) {
			found = append(found, fmt.Sprintf("%s: %s", filepath.Base(p), bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
}

// AwaitNoProcess returns when no process works in or with the installation's folder.
func (in *Instance) AwaitNoProcess() {
	in.t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for left := in.Processes(); len(left) > 0; left = in.Processes() {
		select {
		case <-deadline:
			in.t.Fatalf("still there:\n%s", strings.Join(left, "\n"))
		case <-tick.C:
		}
	}
}

// Pack writes a pack's files into a folder of the test's own and gives that.
func Pack(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil { // programs among them are run
			t.Fatal(err)
		}
	}
	return dir
}
