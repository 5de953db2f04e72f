package attunetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// Main is for TestMain of packages that start instances: it builds the program, runs the tests, removes the
// program and looks for leaked goroutines.
func Main(m *testing.M) {
	code := m.Run()
	if dir := built.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// given names a program that was built already.
const given = "ATTUNE_TEST_BINARY"

// built is the folder of the program that this process built, if it did.
var built atomic.Pointer[string]

// binary builds the program at the first call and gives its path.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(given); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "attune-build-")
	if err != nil {
		return "", err
	}
	built.Store(&dir)
	path := filepath.Join(dir, "attune")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/attune/attune/services/attune")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build attune: %w\n%s", err, out)
	}
	return path, nil
})

// Command is the program with arguments and exactly the environment given.
func Command(env []string, args ...string) *exec.Cmd {
	path, err := binary()
	if err != nil {
		panic(err) // no test of this process can go on
	}
	cmd := exec.Command(path, args...)
	cmd.Env = env
	return cmd
}
