//go:build failpoint

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// victim says in which file a process of this test notes its firings, and that it is one.
const victim = "FAILPOINT_TEST_LOG"

func TestMain(m *testing.M) {
	if log := os.Getenv(victim); log != "" {
		if err := Arm("runner.claimed=kill@2", log); err != nil {
			panic(err)
		}
		Hit(RunnerClaimed)
		Hit(RunnerAcked)
		Hit(RunnerClaimed)
		_ = os.WriteFile(log+".after", nil, 0o600)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAKilledProcessHasNotedItAndDoesNothingMore(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "firings")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victim+"="+log)
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it ended with %v", err)
	}
	if got, err := Firings(log); err != nil || !slices.Equal(got, []Firing{{RunnerClaimed, Kill, exit.Pid()}}) {
		t.Errorf("noted %v, %v", got, err)
	}
	if _, err := os.Stat(log + ".after"); err == nil {
		t.Error("it went on")
	}
}

func TestAPlanWithoutAFileIsRefused(t *testing.T) {
	t.Parallel()
	if err := Arm("runner.claimed=kill", ""); !errors.Is(err, ErrPlan) {
		t.Errorf("got %v", err)
	}
}
