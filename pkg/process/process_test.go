package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/process"
)

// shared is the launcher of the tests that need none of their own.
var shared = sync.OnceValue(func() *process.Launcher {
	return newLauncher(fmt.Sprint("shared ", os.Getpid()))
})

var cleanEnv = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}

func sh(script string) process.Spec {
	return process.Spec{Path: "/bin/sh", Args: []string{"-c", script}, Env: cleanEnv, Grace: 5 * time.Second, Timeout: time.Minute, Sandbox: policy()}
}

func run(t *testing.T, s process.Spec) process.Result {
	t.Helper()
	res, err := shared().Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if res.LeftBehind != 0 {
		t.Errorf("%d processes left behind", res.LeftBehind)
	}
	return res
}

func TestRunGivesExactlyWhatItIsTold(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	s := sh(`cat; cat <&3; env | sort; echo oops >&2; pwd; exit 7`)
	s.Dir, s.Stdin, s.Extra, s.Stdout, s.Stderr = "/usr", []byte("in\n"), [][]byte{[]byte("extra\n")}, &out, &errs
	s.Env = []string{"B=2", "A=1"}
	res := run(t, s)
	if res.ExitCode != 7 || res.Signal != 0 || res.Held || res.Killed {
		t.Errorf("result %+v, want exit 7", res)
	}
	if diff := cmp.Diff("in\nextra\nA=1\nB=2\nPWD=/usr\n/usr\n", out.String()); diff != "" {
		t.Error(diff)
	}
	if errs.String() != "oops\n" {
		t.Errorf("stderr %q", errs.String())
	}
	if res.Ended.Before(res.Started) || res.MaxRSS == 0 {
		t.Errorf("usage is missing: %+v", res)
	}
}

func TestEverySignalIsReported(t *testing.T) {
	t.Parallel()
	for sig := syscall.Signal(1); sig <= 15; sig++ {
		res := run(t, sh(fmt.Sprintf("ulimit -c 0; kill -%d $$; sleep 10", sig)))
		if res.Signal != sig || res.ExitCode != 128+int(sig) {
			t.Errorf("signal %d: got %d, exit %d", sig, res.Signal, res.ExitCode)
		}
	}
}

func TestAProgramHasASessionOfItsOwn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := sh(`read -r pid comm state ppid pgrp session rest </proc/$$/stat; echo $((pid == pgrp)) $((pid == session))`)
	s.Stdout = &out
	run(t, s)
	if out.String() != "1 1\n" {
		t.Errorf("pid is group, session: %s", out.String())
	}
}

func TestWhatCannotStartHasAClass(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name, path, dir string
		class           process.Class
		hint            string
	}{
		{"no such program", filepath.Join(dir, "none"), "", process.NotFound, ""},
		{"no such folder", "/bin/true", filepath.Join(dir, "none"), process.NotFound, "working folder"},
		{"a file on the way", file("plain", "x", 0o600) + "/x", "", process.NotFound, ""},
		{"not executable", file("noexec", "#!/bin/sh\n", 0o600), "", process.NotExecutable, ""},
		{"a folder", dir, "", process.NotExecutable, ""},
		{"neither binary nor script", file("text", "hello\n", 0o755), "", process.ExecFormat, "#!"},
		{"an empty file", file("empty", "", 0o755), "", process.ExecFormat, ""},
		{"a binary of another machine", file("elf", "\x7fELF\x02\x01\x01", 0o755), "", process.ExecFormat, ""},
		{"interpreter is missing", file("interp", "#!/no/such/perl -w\n", 0o755), "", process.BadInterpreter, "/no/such/perl -w"},
		{"Windows line ending", file("crlf", "#!/bin/sh\r\necho hi\r\n", 0o755), "", process.BadInterpreter, "carriage return"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := shared().Run(t.Context(), process.Spec{Path: tt.path, Dir: tt.dir, Sandbox: policy()})
			var spawn *process.SpawnError
			if !errors.As(err, &spawn) {
				t.Fatalf("got %v, want a SpawnError", err)
			}
			if spawn.Class != tt.class || !strings.Contains(spawn.Hint, tt.hint) {
				t.Errorf("class %s, hint %q; want %s, %q", spawn.Class, spawn.Hint, tt.class, tt.hint)
			}
			if !strings.Contains(err.Error(), tt.path) {
				t.Errorf("%q does not name the program", err)
			}
		})
	}
}

func TestInputThatIsNotReadDoesNotMatter(t *testing.T) {
	t.Parallel()
	s := sh("exit 0")
	s.Stdin = bytes.Repeat([]byte("x"), 5<<20)
	if res := run(t, s); res.ExitCode != 0 {
		t.Errorf("exit %d", res.ExitCode)
	}
	s = sh("exec 0<&-; exit 4")
	s.Stdin = bytes.Repeat([]byte("x"), 5<<20)
	if res := run(t, s); res.ExitCode != 4 {
		t.Errorf("exit %d", res.ExitCode)
	}
}

func TestLargeInputArrivesWhole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := sh("wc -c; wc -c <&3")
	s.Stdin, s.Extra, s.Stdout = bytes.Repeat([]byte("x"), 3<<20), [][]byte{bytes.Repeat([]byte("y"), 1<<20)}, &out
	run(t, s)
	if out.String() != "3145728\n1048576\n" {
		t.Errorf("counted %q", out.String())
	}
}

// counter counts what is written and remembers the largest piece.
type counter struct{ total, largest int }

func (c *counter) Write(b []byte) (int, error) {
	c.total += len(b)
	c.largest = max(c.largest, len(b))
	return len(b), nil
}

func TestALineOfHundredMegabytesComesInPieces(t *testing.T) {
	t.Parallel()
	var c counter
	s := sh("head -c 104857600 /dev/zero")
	s.Stdout = &c
	run(t, s)
	if c.total != 100<<20 || c.largest > 64<<10 {
		t.Errorf("%d bytes in pieces of up to %d", c.total, c.largest)
	}
}

func TestOutputClosedEarly(t *testing.T) {
	t.Parallel()
	if res := run(t, sh("exec >&- 2>&-; sleep 0.05; exit 3")); res.ExitCode != 3 || res.Held {
		t.Errorf("%+v, want exit 3", res)
	}
}

// slow takes one piece at a time, when the test lets it.
type slow struct {
	next chan struct{}
	got  bytes.Buffer
}

func (s *slow) Write(b []byte) (int, error) {
	<-s.next
	return s.got.Write(b)
}

func TestASlowWriterGetsEverything(t *testing.T) {
	t.Parallel()
	w := &slow{next: make(chan struct{})}
	s := sh("head -c 60000 /dev/zero")
	s.Stdout, s.WaitDelay = w, 20*time.Millisecond
	done := make(chan process.Result)
	go func() { done <- run(t, s) }()
	select {
	case <-done:
		t.Error("ended before its output was taken")
	case <-time.After(200 * time.Millisecond): // several wait delays
	}
	close(w.next)
	if res := <-done; res.Held || w.got.Len() != 60000 {
		t.Errorf("got %d bytes, held %v", w.got.Len(), res.Held)
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestABrokenWriterDoesNotBlockTheProgram(t *testing.T) {
	t.Parallel()
	s := sh("head -c 1000000 /dev/zero; exit 5")
	s.Stdout = broken{}
	res := run(t, s)
	if res.ExitCode != 5 || !errors.Is(res.OutputErr, errBroken) {
		t.Errorf("%+v, want exit 5 and the writer's error", res)
	}
}

func TestTimeIsOver(t *testing.T) {
	t.Parallel()
	s := sh(`trap 'echo bye; exit 9' TERM; echo hello; while :; do sleep 0.01; done`)
	var out bytes.Buffer
	s.Timeout, s.Stdout = 200*time.Millisecond, &out
	res := run(t, s)
	if !res.TimedOut || res.Killed || res.Canceled || res.ExitCode != 9 {
		t.Errorf("%+v, want timed out, not killed, exit 9", res)
	}
	if out.String() != "hello\nbye\n" {
		t.Errorf("output %q", out.String())
	}
}

func TestDescendantsHaveTheGraceToo(t *testing.T) {
	t.Parallel()
	// The first process ends by TERM at once; its child cleans up for a while.
	s := sh(`sh -c 'trap "sleep 0.2; echo cleaned; exit 0" TERM; echo ready; while :; do sleep 0.01; done' & wait`)
	out := newSync()
	s.Stdout = out
	ctx, cancel := context.WithCancel(t.Context())
	go func() { out.waitFor("ready"); cancel() }()
	res, err := shared().Run(ctx, s)
	if err != nil || !res.Canceled || res.Killed || res.Signal != syscall.SIGTERM {
		t.Errorf("%+v, %v; want canceled by TERM, not killed", res, err)
	}
	if !strings.Contains(out.String(), "cleaned") {
		t.Errorf("output %q: the child was not given its time", out.String())
	}
}

func TestKillLeavesNoTime(t *testing.T) {
	t.Parallel()
	kill := make(chan struct{})
	out := newSync()
	s := sh(`trap '' TERM; echo ready; while :; do sleep 0.01; done`)
	s.Stdout, s.Kill, s.Grace = out, kill, time.Hour
	go func() { out.waitFor("ready"); close(kill) }()
	if res := run(t, s); !res.Killed || !res.Canceled || res.Signal != syscall.SIGKILL {
		t.Errorf("%+v, want killed", res)
	}
}

func TestKillCutsAGraceShort(t *testing.T) {
	t.Parallel()
	kill := make(chan struct{})
	out := newSync()
	s := sh(`trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done`)
	s.Stdout, s.Kill, s.Grace = out, kill, time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	go func() { out.waitFor("ready"); cancel(); out.waitFor("asked"); close(kill) }()
	if res, err := shared().Run(ctx, s); err != nil || !res.Killed {
		t.Errorf("%+v, %v; want killed", res, err)
	}
}

func TestUseAfterClose(t *testing.T) {
	t.Parallel()
	l := newLauncher(t.Name())
	l.Close()
	l.Close()
	if _, err := l.Run(t.Context(), sh("exit 0")); err == nil {
		t.Error("a closed launcher started a program")
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			var out bytes.Buffer
			s := sh(fmt.Sprintf("cat; exit %d", i%100))
			s.Stdin, s.Stdout, s.Stderr = []byte(fmt.Sprint(i)), &out, io.Discard
			res, err := shared().Run(t.Context(), s)
			if err != nil || res.ExitCode != i%100 || out.String() != fmt.Sprint(i) {
				t.Errorf("run %d: exit %d, output %q, %v", i, res.ExitCode, out.String(), err)
			}
		})
	}
	all.Wait()
}

func TestTwoOutputsTogetherKeepTheirOrder(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := sh(`for i in 1 2 3; do echo out $i; echo err $i >&2; done`)
	s.Stdout, s.Together = &out, true
	run(t, s)
	if diff := cmp.Diff("out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAFileIsBounded(t *testing.T) {
	t.Parallel()
	s := sh(`exec head -c 100000 /dev/zero > "$0"`)
	s.Args, s.MaxFile = append(s.Args, filepath.Join(folder(t), "big")), 4096
	if res := run(t, s); res.Signal != syscall.SIGXFSZ {
		t.Errorf("ended by %v", res.Signal)
	}
}
