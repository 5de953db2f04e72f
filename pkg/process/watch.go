package process

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/sandbox"
)

// watch notices the end of the first process without reaping it: until then its number is its own, so
// signals to its group reach nobody else.
func (r *run) watch() {
	defer close(r.exited)
	if !awaitEnd(r.fd) {
		waitFor(r.pid, unix.WEXITED)
	}
}

// awaitEnd waits until the process of a descriptor (pidfd_open(2)) has ended, and closes the descriptor. It waits where
// the pipes are waited for too, so that no thread has to sleep for each program and to be woken. It is false where that
// cannot be.
func awaitEnd(fd int) bool {
	if fd < 0 {
		return false
	}
	if err := unix.SetNonblock(fd, true); err != nil { // os would not poll it
		_ = unix.Close(fd) // it was not used
		return false
	}
	file := os.NewFile(uintptr(fd), "|process")
	defer func() { _ = file.Close() }() // it was only waited for
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	return raw.Read(func(fd uintptr) bool { return sandbox.Ended(int(fd)) }) == nil
}

// waitFor waits until a child has changed its state, and leaves the change for others to take.
func waitFor(pid, change int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, change|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
