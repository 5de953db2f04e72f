package process_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/process"
)

// envUntraced has all programs of the tests be started without being traced.
const envUntraced = "PROCESS_TEST_UNTRACED"

func untraced() bool { return os.Getenv(envUntraced) != "" }

func hold(t *testing.T, s process.Spec) *process.Held {
	t.Helper()
	h, err := shared().Hold(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Discard)
	return h
}

// stateOf is the letter that /proc has for the state of a process.
func stateOf(pid int) string {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // it may have gone
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) == 0 {
		return ""
	}
	return string(fields[0])
}

func TestAHeldProgramRunsWhenItIsLetGo(t *testing.T) {
	t.Parallel()
	s := sh("cat; cat <&3; echo oops >&2; exit 7")
	s.Stdin, s.Extra = []byte("in\n"), [][]byte{[]byte("extra\n")}
	h := hold(t, s)
	switch {
	case untraced() && h.PID() != 0:
		t.Errorf("it was started, and nothing holds it: %d", h.PID())
	case !untraced() && stateOf(h.PID()) != "t":
		t.Errorf("it does not stand but is %q", stateOf(h.PID()))
	}
	var out, errs bytes.Buffer
	given, began := false, time.Now()
	res, err := h.Run(t.Context(), process.Work{Stdout: &out, Stderr: &errs, Timeout: time.Minute, Given: func() { given = true }})
	if err != nil || res.ExitCode != 7 || res.LeftBehind != 0 || res.Held || !given {
		t.Errorf("%+v, %v, given %v", res, err, given)
	}
	if out.String() != "in\nextra\n" || errs.String() != "oops\n" {
		t.Errorf("%q, %q", out.String(), errs.String())
	}
	if res.Started.Before(began) || res.Ended.Before(res.Started) {
		t.Errorf("it ran from %s to %s, and was let go at %s", res.Started, res.Ended, began)
	}
	if _, err := h.Run(t.Context(), process.Work{}); err == nil {
		t.Error("it ran a second time")
	}
}

func TestTheTimeOfAHeldProgramCountsFromItsReleaseOn(t *testing.T) {
	t.Parallel()
	h := hold(t, sh("sleep 1000"))
	if res, err := h.Run(t.Context(), process.Work{Timeout: 50 * time.Millisecond, Grace: time.Minute}); err != nil || !res.TimedOut || res.Killed {
		t.Errorf("%+v, %v", res, err)
	}
	h = hold(t, sh("sleep 1000"))
	ctx, cancel := context.WithCancel(t.Context())
	if res, err := h.Run(ctx, process.Work{Grace: time.Minute, Given: cancel}); err != nil || !res.Canceled {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestADiscardedProgramHasNotRun(t *testing.T) {
	t.Parallel()
	ran := filepath.Join(folder(t), "ran")
	h := hold(t, sh(": >"+ran))
	pid := h.PID()
	h.Discard()
	if _, err := os.Stat(ran); err == nil {
		t.Error("it ran")
	}
	if state := stateOf(pid); pid != 0 && state != "" {
		t.Errorf("it is there yet, and is %q", state)
	}
	h.Discard()
	if _, err := h.Run(t.Context(), process.Work{}); err == nil {
		t.Error("it ran after its end")
	}
	if res := run(t, sh(": >"+ran)); res.ExitCode != 0 {
		t.Errorf("nothing is shown: %+v", res)
	}
}

func TestAHeldProgramThatIsKilledHasNotRun(t *testing.T) {
	t.Parallel()
	ran := filepath.Join(folder(t), "ran")
	h := hold(t, sh(": >"+ran))
	if untraced() {
		t.Skip("there is nothing to kill")
	}
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if res, err := h.Run(t.Context(), process.Work{}); err != nil || res.Signal != syscall.SIGKILL {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it ran")
	}
}

func TestWhatCannotStartIsNotHeld(t *testing.T) {
	t.Parallel()
	h, err := shared().Hold(process.Spec{Path: "/no/such/program", Sandbox: policy()})
	if untraced() && err == nil {
		_, err = h.Run(t.Context(), process.Work{})
	}
	if spawn, ok := errors.AsType[*process.SpawnError](err); !ok || spawn.Class != process.NotFound {
		t.Errorf("%v", err)
	}
}

// TestTheSameHoldsWithoutTracing runs the tests above again.
func TestTheSameHoldsWithoutTracing(t *testing.T) {
	t.Parallel()
	if untraced() || mode() != "" {
		t.Skip("this is one of them")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"", modeUser} {
		c := exec.CommandContext(t.Context(), self, "-test.run=Held|DiscardedProgram", "-test.timeout=5m")
		c.Env = append(os.Environ(), envUntraced+"=1", envMode+"="+m)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// beHolder is the process that the test below kills: it goes on holding programs that would make a file.
func beHolder(file string) {
	l := newLauncher(file)
	var holders sync.WaitGroup
	for range 8 {
		holders.Go(func() {
			for {
				h, err := l.Hold(sh(": >" + file))
				if err != nil {
					panic(err)
				}
				fmt.Println(h.PID())
				h.Discard()
			}
		})
	}
	holders.Wait()
}

// Whenever this process dies, no program that it holds may run: not one that stands, nor one that is about to.
func TestAHeldProgramDiesWithItsHolder(t *testing.T) {
	t.Parallel()
	if untraced() {
		t.Skip("nothing is started before it is let go")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		ran := filepath.Join(folder(t), "ran")
		c := exec.CommandContext(t.Context(), self, "-test.run=^$")
		c.Env, c.Stderr = append(cleanEnv, "PROCESS_TEST_HOLD="+ran, envMode+"="+mode()), os.Stderr
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 1 + i%5 { // the next one is wherever it is
			lines.Scan()
		}
		if err := errors.Join(lines.Err(), c.Process.Kill()); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it was killed
		eventually(t, time.Minute, "no program of it is left", func() bool { return alive(ran) == 0 })
		if _, err := os.Stat(ran); err == nil {
			t.Fatal("a program ran")
		}
	}
}
