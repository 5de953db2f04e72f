package process_test

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/process"
)

func TestTheEndOfAProcessIsToldWithoutReapingIt(t *testing.T) {
	t.Parallel()
	c := exec.Command("/bin/sh", "-c", "read line; exit 3")
	hold, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(c.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan bool, 1)
	go func() { told <- process.AwaitEnd(fd) }()
	select {
	case ended := <-told:
		t.Fatalf("told %t of a process that runs", ended)
	default:
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	if !<-told {
		t.Error("the descriptor could not be waited for")
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(c.Process.Pid, &status, unix.WNOHANG, nil); pid != c.Process.Pid || status.ExitStatus() != 3 {
		t.Errorf("%d, %v, %v: it was not left to be reaped", pid, status, err)
	}
}

func TestWithoutADescriptorTheEndIsWaitedForElsewhere(t *testing.T) {
	t.Parallel()
	if process.AwaitEnd(-1) {
		t.Error("the end of no process was told")
	}
}
