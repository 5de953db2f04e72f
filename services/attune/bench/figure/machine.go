package figure

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is where a run took place, and how busy it was.
type Machine struct {
	Processors int     `json:"processors"`
	Model      string  `json:"model"`
	MemoryGiB  int     `json:"memory_gib"`
	Kernel     string  `json:"kernel"`
	Platform   string  `json:"platform"`
	Go         string  `json:"go"`
	PostgreSQL string  `json:"postgresql"`
	Root       bool    `json:"root"`    // actions have users and namespaces of their own
	SyncMs     float64 `json:"sync_ms"` // median time of writing 4 KiB and waiting for the disk, before the run
	LoadBefore float64 `json:"load_before"`
	LoadAfter  float64 `json:"load_after"`
}

// Describe looks at this machine, and at the disk of a folder.
func Describe(dir string) Machine {
	return Machine{
		Processors: runtime.NumCPU(), Model: field("/proc/cpuinfo", "model name"), MemoryGiB: memory(), Kernel: kernel(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), PostgreSQL: postgres(), Root: os.Geteuid() == 0,
		SyncMs: syncTime(dir), LoadBefore: Load(),
	}
}

// String gives the machine in one line.
func (m Machine) String() string {
	rights := "an ordinary user"
	if m.Root {
		rights = "root: each action has a user and namespaces of its own"
	}
	return fmt.Sprintf("%d processors (%s), %d GiB, Linux %s, %s, PostgreSQL %s; %s. A sync of the disk took %.2f ms; load %.1f before, %.1f after.",
		m.Processors, m.Model, m.MemoryGiB, m.Kernel, m.Go, m.PostgreSQL, rights, m.SyncMs, m.LoadBefore, m.LoadAfter)
}

// Load gives the average number of processes that wanted a processor or the disk in the last minute.
func Load() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, _ := strconv.ParseFloat(first, 64) // the kernel writes numbers
	return load
}

// field gives the first value of a name in a file of lines "name : value".
func field(file, name string) string {
	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memory() int {
	number, _, _ := strings.Cut(field("/proc/meminfo", "MemTotal"), " ")
	kib, _ := strconv.Atoi(number) // 0 where there is no such file
	return (kib + 1<<19) >> 20
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// postgres gives the version of the newest server that is installed where servers usually are.
func postgres() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is right
	if path, err := exec.LookPath("postgres"); err == nil {
		found = append(found, path)
	}
	for _, program := range slices.Backward(found) {
		if out, err := exec.Command(program, "--version").Output(); err == nil {
			if words := strings.Fields(string(out)); len(words) > 2 {
				return words[2]
			}
		}
	}
	return "unknown"
}

// syncs is how often the disk is tried.
const syncs = 50

// syncTime measures the disk of a folder. A disk that cannot be written to has no time.
func syncTime(dir string) float64 {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	var took []time.Duration
	for range syncs {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0
		}
		took = append(took, time.Since(began))
	}
	return Quantile(took, 0.5)
}
