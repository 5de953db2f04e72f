package process_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/process"
)

func TestMain(m *testing.M) {
	if os.Getenv(envUntraced) != "" {
		process.Untrace()
	}
	if file := os.Getenv("PROCESS_TEST_HOLD"); file != "" {
		beHolder(file)
		return
	}
	if seed := os.Getenv("PROCESS_TEST_SEED"); seed != "" {
		beRunner(seed, os.Getenv("PROCESS_TEST_SCRIPT"))
		return
	}
	code := m.Run()
	shared().Close()
	if s := box(); s != nil {
		_ = s.Close()
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// syncBuffer is a buffer that can be waited for.
type syncBuffer struct {
	mu   sync.Mutex
	cond *sync.Cond
	buf  bytes.Buffer
}

func newSync() *syncBuffer {
	b := &syncBuffer{}
	b.cond = sync.NewCond(&b.mu)
	return b
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.cond.Broadcast()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *syncBuffer) waitFor(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !strings.Contains(b.buf.String(), text) {
		b.cond.Wait()
	}
}

// alive counts the processes that live and have a text in their command line.
func alive(text string) (n int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		line, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(line, []byte(text)) || name == fmt.Sprintf("/proc/%d/cmdline", os.Getpid()) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(name), "stat"))
		if err == nil && !bytes.Contains(stat, []byte(") Z ")) {
			n++
		}
	}
	return n
}

// eventually waits for something that shows itself only in /proc.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(within); ; {
		if holds() {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// token is a duration for sleep that no other process has.
func token(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("9%d%d.%d", os.Getpid(), time.Now().UnixNano()%1e6, len(t.Name()))
}

// escapes are ways to leave a tree of processes. %s stands for a program that must not survive.
var escapes = map[string]string{
	"background":                        `%s >/dev/null 2>&1 &`,
	"ignores TERM":                      `(trap '' TERM HUP; %s >/dev/null 2>&1) &`,
	"session of its own":                `setsid %s >/dev/null 2>&1 &`,
	"double fork":                       `(setsid sh -c '%s & exit' >/dev/null 2>&1 &)`,
	"double fork, clean environment":    `(env -i setsid sh -c '%s & exit' >/dev/null 2>&1 &)`,
	"a crowd":                           `i=0; while [ $i -lt 50 ]; do setsid %s >/dev/null 2>&1 & i=$((i+1)); done`,
	"daemon after daemon, ignores TERM": `(trap '' TERM; setsid sh -c "trap '' TERM; setsid env -i setsid sh -c '%s & exit' & exit" >/dev/null 2>&1 &)`,
}

func TestNothingOutlivesAProgramThatExits(t *testing.T) {
	t.Parallel()
	for name, script := range escapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sleep := "sleep " + token(t)
			res := run(t, sh(fmt.Sprintf(script, sleep)+"\nsleep 0.1; exit 6"))
			if res.ExitCode != 6 || res.Held {
				t.Errorf("%+v, want exit 6", res)
			}
			if n := alive(sleep[6:]); n != 0 {
				t.Errorf("%d processes left", n)
			}
		})
	}
}

func TestNothingOutlivesAProgramThatIsCanceled(t *testing.T) {
	t.Parallel()
	for name, script := range escapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sleep := "sleep " + token(t)
			out := newSync()
			s := sh("trap '' TERM\n" + fmt.Sprintf(script, sleep) + "\necho ready; while :; do sleep 0.02; done")
			s.Stdout, s.Grace = out, 100*time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				out.waitFor("ready")
				eventually(t, 20*time.Second, "it runs", func() bool { return alive(sleep[6:]) > 0 })
				cancel()
			}()
			began := time.Now()
			res, err := shared().Run(ctx, s)
			if err != nil || !res.Killed || !res.Canceled || res.LeftBehind != 0 {
				t.Errorf("%+v, %v; want canceled and killed", res, err)
			}
			if n := alive(sleep[6:]); n != 0 {
				t.Errorf("%d processes left after %s", n, time.Since(began))
			}
		})
	}
}

func TestAGrandchildKeepsTheOutputOpen(t *testing.T) {
	t.Parallel()
	sleep := "sleep " + token(t)
	var out bytes.Buffer
	s := sh("echo before; setsid " + sleep + " & exit 0")
	s.Stdout, s.WaitDelay = &out, 100*time.Millisecond
	res := run(t, s)
	if res.ExitCode != 0 || !res.Held || out.String() != "before\n" {
		t.Errorf("%+v, output %q; want held", res, out.String())
	}
	if took := res.Ended.Sub(res.Started); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if n := alive(sleep[6:]); n != 0 {
		t.Errorf("%d processes left", n)
	}
}

func TestAGrandchildMayFinishItsOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := sh("(sleep 0.1; echo late) & exit 0")
	s.Stdout = &out
	if res := run(t, s); res.Held || out.String() != "late\n" {
		t.Errorf("%+v, output %q", res, out.String())
	}
}

func TestOneProgramsEndLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	out := newSync()
	s := sh("setsid sleep 0.5 & wait; echo fine")
	s.Stdout = out
	done := make(chan process.Result)
	go func() { done <- run(t, s) }()
	for range 20 {
		run(t, sh("setsid sleep 1000 >/dev/null 2>&1 & sleep 0.01"))
	}
	<-done
	if out.String() != "fine\n" {
		t.Errorf("output %q", out.String())
	}
}

func TestEndedOrphansDoNotPileUp(t *testing.T) {
	t.Parallel()
	l := newLauncher(t.Name() + fmt.Sprint(os.Getpid()))
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	program := filepath.Join(folder(t), "orphan")
	if err := os.Symlink("/bin/true", program); err != nil {
		t.Fatal(err)
	}
	s := sh(`for i in 1 2 3 4 5; do (` + program + ` &) ; done; echo ready; sleep 1000`)
	out := newSync()
	s.Stdout = out
	go func() {
		defer close(done)
		if _, err := l.Run(ctx, s); err != nil {
			t.Error(err)
		}
	}()
	out.waitFor("ready")
	eventually(t, 20*time.Second, "ended orphans are reaped", func() bool { return zombies("orphan") == 0 })
	cancel()
	<-done
}

// zombies counts the children of this process that have ended.
func zombies(name string) (n int) {
	list, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	for pid := range strings.FieldsSeq(string(list)) {
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		if bytes.Contains(stat, []byte("("+name+") Z ")) {
			n++
		}
	}
	return n
}

// beRunner is the process that the tests below kill.
func beRunner(seed, script string) {
	l, err := process.NewLauncher(process.Config{Seed: seed, Environ: "SEED=" + seed, Sandbox: box()})
	if err != nil {
		panic(err)
	}
	s := sh(script)
	s.Env = append(s.Env, "SEED="+seed+"/1")
	s.Stdout = os.Stdout
	res, err := l.Run(context.Background(), s)
	fmt.Println(res, err)
}

type victim struct {
	pid  int
	out  *syncBuffer
	done chan struct{}
}

// startRunner runs this test binary as a runner in a process that can be killed.
func startRunner(t *testing.T, seed, script string) victim {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(self, []string{self, "-test.run=^$"}, &os.ProcAttr{
		Env: append(cleanEnv, "PROCESS_TEST_SEED="+seed, "PROCESS_TEST_SCRIPT="+script, envMode+"="+mode()), Files: []*os.File{nil, w, os.Stderr},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	v := victim{pid: p.Pid, out: newSync(), done: make(chan struct{})}
	go func() {
		defer close(v.done)
		_, _ = r.WriteTo(v.out)
		_, _ = p.Wait()
		_ = r.Close()
	}()
	t.Cleanup(func() { _ = p.Kill(); <-v.done })
	return v
}

func TestNothingOutlivesAKilledRunner(t *testing.T) {
	t.Parallel()
	for name, script := range escapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sleep := "sleep " + token(t)
			v := startRunner(t, t.Name()+token(t), "trap '' TERM HUP\n"+fmt.Sprintf(script, sleep)+"\necho ready; "+sleep)
			v.out.waitFor("ready")
			eventually(t, 20*time.Second, "it runs", func() bool { return alive(sleep[6:]) > 1 })
			if err := syscall.Kill(v.pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, 20*time.Second, "its processes are gone", func() bool { return alive(sleep[6:]) == 0 })
		})
	}
}

func TestANewLauncherEndsWhatAKilledOneAndItsGuardLeft(t *testing.T) {
	t.Parallel()
	sleep, seed := "sleep "+token(t), t.Name()+token(t)
	v := startRunner(t, seed, "setsid env -i "+sleep+" & echo ready; "+sleep)
	v.out.waitFor("ready")
	guard := guardOf(t, v.pid)
	if err := syscall.Kill(v.pid, syscall.SIGSTOP); err != nil { // it would start another guard
		t.Fatal(err)
	}
	for _, pid := range []int{guard, v.pid} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if n := alive(sleep[6:]); n == 0 {
		t.Fatal("the processes have gone by themselves: nothing is shown")
	}
	l, err := process.NewLauncher(process.Config{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if n := alive(sleep[6:]); n != 0 {
		t.Errorf("%d processes left", n)
	}
}

func TestAKilledGuardIsReplaced(t *testing.T) {
	t.Parallel()
	sleep := "sleep " + token(t)
	v := startRunner(t, t.Name()+token(t), "echo ready; "+sleep)
	v.out.waitFor("ready")
	guard := guardOf(t, v.pid)
	if err := syscall.Kill(guard, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "another guard", func() bool { g, ok := findGuard(v.pid); return ok && g != guard })
	if err := syscall.Kill(v.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "its processes are gone", func() bool { return alive(sleep[6:]) == 0 })
}

func guardOf(t *testing.T, parent int) int {
	t.Helper()
	var guard int
	eventually(t, 20*time.Second, "a guard", func() bool {
		pid, ok := findGuard(parent)
		guard = pid
		return ok
	})
	return guard
}

// isChild says whether a process's stat line names this parent, and the process is not a zombie. The state and the
// parent follow the last parenthesis: a program's name may hold some too. See proc_pid_stat(5).
func isChild(stat []byte, parent int) bool {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(fields) > 1 && string(fields[0]) != "Z" && string(fields[1]) == strconv.Itoa(parent)
}

func findGuard(parent int) (int, bool) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		line, _ := os.ReadFile(name)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "stat"))
		if bytes.HasPrefix(line, []byte(process.GuardName+"\x00")) && isChild(stat, parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return pid, err == nil
		}
	}
	return 0, false
}
