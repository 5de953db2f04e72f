package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/services/attune/local"
)

func TestMain(m *testing.M) { attunetest.Main(m) }

// patient bounds every wait of a test. It is longer than the cluster itself waits, which says more.
const patient = patience + time.Minute

// world is a cluster in the hands of a test.
type world struct {
	t       *testing.T
	dir     string // of its data
	program string
	config  string // for nats contexts
	cmd     *exec.Cmd
	said    *bytes.Buffer // read when it has ended
	ended   chan error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "attune-cluster-") //nolint:usetesting // t.TempDir lies in a folder closed to others, PostgreSQL's user among them
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: filepath.Join(dir, "data"), program: filepath.Join(dir, "cluster"), config: filepath.Join(dir, "config")}
	t.Cleanup(func() {
		if w.cmd != nil {
			w.end(syscall.SIGKILL)
		}
		w.awaitNoProcess()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if out, err := exec.Command("go", "build", "-o", w.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return w
}

// up starts the cluster and returns when it is announced.
func (w *world) up() local.Announcement {
	w.t.Helper()
	w.said, w.ended = &bytes.Buffer{}, make(chan error, 1)
	w.cmd = exec.Command(w.program, "up", "--data", w.dir, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--binary", attunetest.Command(nil).Path)
	w.cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+w.config, "ATTUNE_SYNC=interval", "ATTUNE_SLOTS=4")
	w.cmd.Stdout, w.cmd.Stderr, w.cmd.WaitDelay = w.said, w.said, time.Second
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(w.cmd, w.ended)
	deadline, again := time.After(patient), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	for {
		if a, err := local.Read(w.dir); err == nil {
			return a
		}
		select {
		case err := <-w.ended:
			w.cmd = nil
			w.t.Fatalf("it ended: %v\n%s", err, w.said)
		case <-deadline:
			w.t.Fatal("it does not become ready")
		case <-again.C:
		}
	}
}

// end sends a signal and waits for the end.
func (w *world) end(s syscall.Signal) error {
	w.t.Helper()
	cmd := w.cmd
	w.cmd = nil
	_ = cmd.Process.Signal(s) // it may have ended
	select {
	case err := <-w.ended:
		return err
	case <-time.After(patient):
		w.t.Fatal("it does not end")
		return nil
	}
}

// attune runs a client command and gives what it printed.
func (w *world) attune(args ...string) string {
	w.t.Helper()
	out, err := w.tryAttune(args...)
	if err != nil {
		w.t.Fatalf("attune %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (w *world) tryAttune(args ...string) (string, error) {
	out, err := attunetest.Command(append(os.Environ(), "ATTUNE_DATA_DIR="+w.dir), args...).CombinedOutput()
	return string(out), err
}

// kill ends a process of the cluster without a word, and gives its id.
func (w *world) kill(name string) int {
	w.t.Helper()
	pid, err := readPID(filepath.Join(w.dir, "run", name+".pid"))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	return pid
}

// awaitReplaced waits until the process of that name is another one.
func (w *world) awaitReplaced(name string, old int) {
	w.t.Helper()
	w.eventually(name+" was not started again", func() bool {
		pid, err := readPID(filepath.Join(w.dir, "run", name+".pid"))
		return err == nil && pid != old && syscall.Kill(pid, 0) == nil
	})
}

func (w *world) eventually(otherwise string, done func() bool) {
	w.t.Helper()
	deadline, again := time.After(patient), time.NewTicker(20*time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-deadline:
			w.t.Fatal(otherwise)
		case <-again.C:
		}
	}
}

// leader is the scheduler that leads, by what it says.
func (w *world) leader() string {
	w.t.Helper()
	for _, name := range []string{"scheduler-1", "scheduler-2"} {
		text, err := os.ReadFile(filepath.Join(w.dir, "log", name+".log"))
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(string(text), "INF leading") {
			return name
		}
	}
	w.t.Fatal("no scheduler leads")
	return ""
}

// processes lists what works in or with the cluster's folder, by command line, environment or working folder.
func (w *world) processes() (found []string) {
	w.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range all {
		line, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(p, "environ"))
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		if bytes.Contains(line, []byte(w.dir)) || bytes.Contains(env, []byte(w.dir)) || strings.HasPrefix(cwd, w.dir) {
			found = append(found, filepath.Base(p)+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
}

func (w *world) awaitNoProcess() {
	w.t.Helper()
	w.eventually("processes are left", func() bool { return len(w.processes()) == 0 })
}

func TestTheClusterLosesProcessesAndNoWork(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	t.Parallel()
	w := newWorld(t)
	w.checkThatItRuns(w.up())
	w.loseProcesses(w.leader(), "nats-1")
	w.down()

	w.up()
	if got := w.attune("execution", "list", "--action", "core.echo", "-o", "jsonl"); strings.Count(got, `"succeeded"`) != 2 {
		t.Errorf("the next cluster knows %s", got)
	}
	if w.end(syscall.SIGKILL) == nil {
		t.Error("it survived")
	}
	w.awaitNoProcess()
}

func (w *world) checkThatItRuns(a local.Announcement) {
	w.t.Helper()
	if n := strings.Count(a.NATSURL, "nats://127.0.0.1:"); n != servers {
		w.t.Errorf("NATS: %s", a.NATSURL)
	}
	if got := w.attune("run", "core.echo", "message=before", "--follow"); got != "before\n" {
		w.t.Errorf("it said %q", got)
	}
	runners := regexp.MustCompile(`(?m)^runner-\d`).FindAllString(w.attune("runner", "list"), -1)
	if slices.Sort(runners); !slices.Equal(runners, []string{"runner-1", "runner-2", "runner-3"}) {
		w.t.Errorf("runners: %v", runners)
	}
}

// loseProcesses kills processes, runs something without them, and waits until they are there again.
func (w *world) loseProcesses(names ...string) {
	w.t.Helper()
	pids := make([]int, len(names))
	for i, name := range names {
		pids[i] = w.kill(name)
	}
	// While the streams choose their leaders requests are refused. One with a key may be repeated.
	w.eventually("nothing runs any more", func() bool {
		got, err := w.tryAttune("run", "core.echo", "message=after", "--follow", "--idempotency-key", "after")
		return err == nil && got == "after\n"
	})
	for i, name := range names {
		w.awaitReplaced(name, pids[i])
	}
}

// down stops the cluster as a second terminal does.
func (w *world) down() {
	w.t.Helper()
	out, err := exec.Command(w.program, "down", "--data", w.dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the cluster has stopped") {
		w.t.Errorf("down: %v: %s", err, out)
	}
	if err := w.end(syscall.SIGTERM); err != nil {
		w.t.Errorf("it ended with %v\n%s", err, w.said)
	}
	w.awaitNoProcess()
	if out, err := exec.Command(w.program, "down", "--data", w.dir).CombinedOutput(); err != nil || !strings.Contains(string(out), "no cluster runs") {
		w.t.Errorf("down again: %v: %s", err, out)
	}
}

func TestAddressesFollowOneAnotherAndStayOnThisMachine(t *testing.T) {
	t.Parallel()
	free, err := addresses("http", "127.0.0.1:0", 3)
	if err != nil || len(slices.Compact(slices.Sorted(slices.Values(free)))) != 3 {
		t.Errorf("%v, %v", free, err)
	}
	for _, bad := range []string{"", "127.0.0.1", "0.0.0.0:80", "example.com:80", "127.0.0.1:-1", "127.0.0.1:65534", "127.0.0.1:x"} {
		if got, err := addresses("nats", bad, 3); err == nil || status(err) != 2 {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}
