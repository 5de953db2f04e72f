package process_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/sandbox"
)

// BenchmarkBare is what the machine needs to fork, execute and wait.
func BenchmarkBare(b *testing.B) {
	for b.Loop() {
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 0"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
		if err != nil {
			b.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRun is the same through a launcher. The difference is to stay under 1.5 ms.
func BenchmarkRun(b *testing.B) {
	l := shared()
	for b.Loop() {
		s := sh("exit 0")
		s.Stdin = []byte("{}")
		if _, err := l.Run(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}

// boxed is a launcher with a sandbox, and a policy for a program that it starts.
func boxed(tb testing.TB, users sandbox.Range) (*process.Launcher, func() *sandbox.Policy) {
	tb.Helper()
	data := filepath.Join(tb.TempDir(), "data")
	work := filepath.Join(data, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		tb.Fatal(err)
	}
	s, err := sandbox.Open(sandbox.Config{Dir: filepath.Join(data, "sandbox"), Hidden: []string{data}, Users: users})
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Show(true, work); err != nil {
		tb.Fatal(err)
	}
	l, err := process.NewLauncher(process.Config{Seed: tb.Name() + strconv.Itoa(os.Getpid()), Sandbox: s})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close(); _ = s.Close() })
	return l, func() *sandbox.Policy {
		user, err := s.TakeUser()
		if err != nil {
			tb.Fatal(err)
		}
		return &sandbox.Policy{Write: []string{work}, User: user}
	}
}

// BenchmarkSandboxed is BenchmarkRun in a sandbox, as the runner's user and as one of its own in a room.
func BenchmarkSandboxed(b *testing.B) {
	for name, users := range map[string]sandbox.Range{"user": {}, "room": sandbox.DefaultUsers} {
		b.Run(name, func(b *testing.B) {
			l, policy := boxed(b, users)
			var took []time.Duration
			for b.Loop() {
				s := sh("exit 0")
				s.Stdin, s.Sandbox = []byte("{}"), policy()
				began := time.Now()
				if _, err := l.Run(b.Context(), s); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
