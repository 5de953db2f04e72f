package process_test

import (
	"syscall"
	"testing"
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
