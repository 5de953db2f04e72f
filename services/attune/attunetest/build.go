package attunetest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
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
	if dir := played.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Overlap has more tests run at once than there are processors, unless the command line says how many: most of the time
// they wait for processes, leases and entries. It is called before Main.
func Overlap() {
	const atOnce = 4
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if f := flag.Lookup("test.parallel"); !given && runtime.GOMAXPROCS(0) < atOnce {
		_ = f.Value.Set(strconv.Itoa(atOnce)) // a number is a number
	}
}

// given names a program that was built already.
const given = "ATTUNE_TEST_BINARY"

// Tags are build tags for the program, set before the first use of it.
var Tags string

// built is the folder of what this process built, if it did.
var built atomic.Pointer[string]

var buildFolder = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "attune-build-")
	if err == nil {
		built.Store(&dir)
		err = os.Chmod(dir, 0o755) //nolint:gosec // instances may run as other users
	}
	return dir, err
})

// binary builds the program at the first call and gives its path.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(given); path != "" {
		return path, nil
	}
	flags := []string{"-tags", Tags}
	if raceEnabled {
		flags = append(flags, "-race")
	}
	return Build("github.com/attune/attune/services/attune", flags...)
})

// Build builds a program of this repository and gives its path. Main removes it.
func Build(program string, flags ...string) (string, error) {
	dir, err := buildFolder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(program))
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), program)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	return path, nil
}

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
