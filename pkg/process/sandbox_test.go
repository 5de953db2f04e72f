package process_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/sandbox"
)

// envMode names what the programs of the tests are put into: nothing, a sandbox with this process's user, or one with
// users and rooms of their own.
const (
	envMode  = "PROCESS_TEST_MODE"
	modeUser = "user"
	modeRoom = "room"
)

func mode() string { return os.Getenv(envMode) }

// box is the sandbox of the tests; nil when they have none.
var box = sync.OnceValue(func() *sandbox.Sandbox {
	if mode() == "" {
		return nil
	}
	c := sandbox.Config{Dir: filepath.Join(os.TempDir(), "attune-process-test"), Write: []string{os.TempDir()}}
	if mode() == modeRoom {
		c.Users = sandbox.DefaultUsers
	}
	s, err := sandbox.Open(c)
	if err != nil {
		panic(err)
	}
	return s
})

// policy is what a program of the tests may do.
func policy() *sandbox.Policy {
	if box() == nil {
		return nil
	}
	user, err := box().TakeUser() // there are more than tests start programs
	if err != nil {
		panic(err)
	}
	return &sandbox.Policy{User: user}
}

func newLauncher(seed string) *process.Launcher {
	l, err := process.NewLauncher(process.Config{Seed: seed, Sandbox: box()})
	if err != nil {
		panic(err)
	}
	return l
}

// folder is a folder that every user may use.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "attune-process") //nolint:usetesting // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is what it is for
		t.Fatal(err)
	}
	return dir
}

// TestTheSameHoldsInASandbox runs all tests of this package again, in either kind of sandbox.
func TestTheSameHoldsInASandbox(t *testing.T) {
	t.Parallel()
	if mode() != "" {
		t.Skip("this is one")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{modeUser, modeRoom} {
		t.Run(m, func(t *testing.T) {
			t.Parallel()
			if m == modeRoom && os.Geteuid() != 0 {
				t.Skip("only root may give programs users and rooms of their own")
			}
			c := exec.CommandContext(t.Context(), self, "-test.timeout=5m")
			c.Env = append(os.Environ(), envMode+"="+m)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// limited is a script under limits, in the kind of sandbox that this run of the tests has.
func limited(t *testing.T, script string, l sandbox.Limits) process.Spec {
	t.Helper()
	if box() == nil {
		t.Skip("limits are a sandbox's")
	}
	s := sh(script)
	s.Sandbox.Limits = l
	return s
}

func active(name string) bool {
	for _, f := range box().Features() {
		if f.Name == name {
			return f.Active
		}
	}
	return false
}

func TestAForkBombStaysSmall(t *testing.T) {
	t.Parallel()
	s := limited(t, `i=0; while [ $i -lt 500 ]; do sleep 1000 & i=$((i+1)); done; echo all`, sandbox.Limits{Processes: 20})
	if !active(sandbox.FeaturePids) && s.Sandbox.User == 0 {
		t.Skip("without control groups and users nothing counts processes")
	}
	var out bytes.Buffer
	s.Stdout = &out
	if res := run(t, s); res.ExitCode == 0 || out.Len() > 0 {
		t.Errorf("%+v: it could start all of them: %s", res, out.String())
	}
	if res := run(t, sh("sleep 0 & wait; exit 3")); res.ExitCode != 3 {
		t.Errorf("the next one suffers: %+v", res)
	}
}

func TestAMemoryHogIsEnded(t *testing.T) {
	t.Parallel()
	s := limited(t, `x=$(head -c 300000000 /dev/zero | tr '\0' x); echo all`, sandbox.Limits{Memory: 64 << 20})
	var out bytes.Buffer
	s.Stdout = &out
	if res := run(t, s); res.ExitCode == 0 || out.Len() > 0 {
		t.Errorf("%+v: it got its memory", res)
	}
}

func TestOpenFilesAreBounded(t *testing.T) {
	t.Parallel()
	s := limited(t, `ulimit -H -n`, sandbox.Limits{Files: 64})
	var out bytes.Buffer
	s.Stdout = &out
	if run(t, s); out.String() != "64\n" {
		t.Errorf("it may open %s", out.String())
	}
}

// TestLimitsHoldBeforeTheFirstInstruction looks at the groups of a program that has not run yet, and that they go.
func TestLimitsHoldBeforeTheFirstInstruction(t *testing.T) {
	t.Parallel()
	s := limited(t, "exit 0", sandbox.Limits{Memory: 64 << 20, Processes: 20, CPU: 0.5})
	if !active(sandbox.FeatureMemory) || !active(sandbox.FeaturePids) || !active(sandbox.FeatureCPU) {
		t.Skip("no control groups here")
	}
	want := map[string]string{
		"memory.limit_in_bytes": "67108864", "pids.max": "20", "cpu.cfs_quota_us": "50000", // version 1
		"memory.max": "67108864", "cpu.max": "50000 100000", // version 2
	}
	var dirs []string
	found := 0
	s.Started = func(pid int) {
		dirs = groupsOf(pid)
		for _, dir := range dirs {
			for file, value := range want {
				if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
					found++
					if got := strings.TrimSpace(string(text)); got != value {
						t.Errorf("%s is %s, want %s", file, got, value)
					}
				}
			}
		}
	}
	run(t, s)
	if found < 3 {
		t.Errorf("%d limits in %v", found, dirs)
	}
	eventually(t, time.Minute, "its groups are gone", func() bool {
		return !slices.ContainsFunc(dirs, func(dir string) bool { _, err := os.Stat(dir); return err == nil })
	})
}

// groupsOf lists the folders of the groups that were made for a process.
func groupsOf(pid int) (dirs []string) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // the test fails without
	for line := range strings.Lines(string(text)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 && strings.Contains(parts[2], "/attune-") {
			found, _ := filepath.Glob("/sys/fs/cgroup" + parts[2]) // the pattern is good
			more, _ := filepath.Glob("/sys/fs/cgroup/*" + parts[2])
			dirs = append(append(dirs, found...), more...)
		}
	}
	return dirs
}
