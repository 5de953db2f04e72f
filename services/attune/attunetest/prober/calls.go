package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errDemands = errors.New("it demands who is there")

// into tries what reaches into a process by its number.
func (t tries) into(pid int) {
	name := func(what string) string { return fmt.Sprintf("%s %d", what, pid) }
	t.add(name("kill"), "may signal", unix.Kill(pid, 0))
	t.add(name("ptrace"), "traced", unix.PtraceAttach(pid))
	t.add(name("seize"), "traced", unix.PtraceSeize(pid))
	buf := make([]byte, 8)
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	t.add(name("process_vm_readv"), "read", err)
	_, err = unix.ProcessVMWritev(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	t.add(name("process_vm_writev"), "written", err)
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, &limit); err != nil {
		t.add(name("prlimit"), nil, err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.add(name("pidfd"), nil, err)
		return
	}
	defer func() { _ = unix.Close(fd) }() // it has nothing to flush
	_, err = unix.PidfdGetfd(fd, 0, 0)
	t.add(name("pidfd_getfd"), "a descriptor", err)
	t.add(name("setns"), "its namespaces", unix.Setns(fd, unix.CLONE_NEWNS))
	t.add(name("pidfd_send_signal"), "may signal", unix.PidfdSendSignal(fd, 0, nil, 0))
}

// calls tries the parts of the kernel that no action needs.
func (t tries) calls() {
	var page [4096]byte
	at := uintptr(unsafe.Pointer(&page[0]))
	raw := func(nr, a, b, c uintptr) error {
		if _, _, errno := unix.Syscall6(nr, a, b, c, 0, 0, 0); errno != 0 {
			return errno
		}
		return nil
	}
	for name, err := range map[string]error{
		"mount":             unix.Mount("none", mustWork(), "tmpfs", 0, ""),
		"bind mount":        unix.Mount("/etc", mustWork(), "", unix.MS_BIND, ""),
		"umount":            unix.Unmount("/proc", unix.MNT_DETACH),
		"open_tree":         raw(unix.SYS_OPEN_TREE, 0, at, unix.OPEN_TREE_CLONE),
		"fsopen":            raw(unix.SYS_FSOPEN, at, 0, 0),
		"chroot":            unix.Chroot("/"),
		"unshare user":      unix.Unshare(unix.CLONE_NEWUSER),
		"unshare mounts":    unix.Unshare(unix.CLONE_NEWNS),
		"unshare network":   unix.Unshare(unix.CLONE_NEWNET),
		"clone user":        cloned(unix.CLONE_NEWUSER),
		"clone3":            raw(unix.SYS_CLONE3, at, 88, 0),
		"bpf":               raw(unix.SYS_BPF, 0, at, 128),
		"io_uring":          raw(unix.SYS_IO_URING_SETUP, 1, at, 0),
		"keyctl":            raw(unix.SYS_KEYCTL, 0, ^uintptr(2), 1),
		"add_key":           raw(unix.SYS_ADD_KEY, at, at, at),
		"perf_event_open":   raw(unix.SYS_PERF_EVENT_OPEN, at, 0, ^uintptr(0)),
		"userfaultfd":       raw(unix.SYS_USERFAULTFD, 1, 0, 0),
		"kexec":             raw(unix.SYS_KEXEC_LOAD, 0, 0, at),
		"module":            raw(unix.SYS_INIT_MODULE, at, 4096, at),
		"open_by_handle_at": raw(unix.SYS_OPEN_BY_HANDLE_AT, 0, at, 0),
		"reboot":            raw(unix.SYS_REBOOT, 0, 0, 0),
		"kernel log":        raw(unix.SYS_SYSLOG, 3, at, 4096),
		"make device":       unix.Mknod("device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))), //nolint:gosec // the numbers are small
		"become root":       becomeRoot(),
		"core file":         coreAllowed(),
	} {
		t.add(name, "done", err)
	}
}

// cloned tries a child in namespaces of its own.
func cloned(flags uintptr) error {
	_, err := syscall.ForkExec("/bin/true", nil, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: flags}})
	return err
}

// becomeRoot is refused to who is root already, but has nothing of its power.
func becomeRoot() error {
	if os.Getuid() == 0 {
		return errKept
	}
	return unix.Setuid(0)
}

func coreAllowed() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return err
	}
	return when(limit.Max == 0, errNothing)
}

// sockets tries to be let in by the servers that it can connect to.
func (t tries) sockets(in input) {
	p := in.Parameters
	c, err := net.Dial("unix", "@"+p.Abstract) //nolint:noctx // it answers at once
	t.add("abstract socket", "connected", err)
	if err == nil {
		_ = c.Close() // nothing was written
	}
	t.add("NATS without credentials", "let in", ask("tcp", p.NATS, "CONNECT {\"verbose\":true}\r\nPING\r\n", func(answer string) bool {
		return strings.Contains(answer, "-ERR")
	}))
	if p.Postgres != "" {
		startup := "\x00\x00\x00\x13\x00\x03\x00\x00user\x00attune\x00\x00"
		startup = string([]byte{0, 0, 0, byte(len(startup))}) + startup[4:]
		t.add("PostgreSQL without password", "let in", ask("unix", p.Postgres, startup, func(answer string) bool {
			return len(answer) >= 9 && (answer[0] == 'E' || answer[0] == 'R' && answer[8] != 0)
		}))
	}
}

// ask writes to a server and judges what it answers.
func ask(network, addr, text string, turnedAway func(string) bool) error {
	c, err := net.DialTimeout(network, addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // everything was written
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // a connection takes deadlines
	var all []byte
	for buf := make([]byte, 4096); !turnedAway(string(all)); {
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil && !turnedAway(string(all)) {
			return nil
		}
	}
	return errDemands
}
