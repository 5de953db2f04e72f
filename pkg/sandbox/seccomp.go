package sandbox

import (
	"cmp"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are the system calls that no program of an action needs, and that fail with EPERM: those by which a program
// looks into others, changes what the system is, or reaches parts of the kernel that exploits begin with.
var denied = append([]uintptr{
	unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_FANOTIFY_INIT,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SYSLOG,
}, deniedHere...)

// missing are the system calls that a program is to take for not there, so that it uses others in their place.
// The flags of clone3 are in memory, where no filter sees them.
var missing = []uintptr{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}

// namespaces are the flags of clone that make one, but for CLONE_NEWIPC: a Starter gives it to each program. To a program
// the kernel itself refuses it, with the same error, for it takes a capability that no program has or can get.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Where the kernel's seccomp_data has what.
const (
	dataNumber = 0
	dataArch   = 4
	dataArg0   = 16 // its lower half: both architectures are little endian
	dataArg1   = 24 // likewise
	dataArg3   = 40 // likewise
)

// Instructions of a filter.
const (
	opLoad   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opAtMost = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opFrom   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opAny    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	opReturn = unix.BPF_RET | unix.BPF_K

	allow  = unix.SECCOMP_RET_ALLOW
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unknow = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	kill   = unix.SECCOMP_RET_KILL_PROCESS
	skip   = unix.SECCOMP_RET_ERRNO // the call succeeds without having been made
)

func load(at uint32) unix.SockFilter             { return unix.SockFilter{Code: opLoad, K: at} }
func give(verdict uint32) unix.SockFilter        { return unix.SockFilter{Code: opReturn, K: verdict} }
func unless(op uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: op, K: k, Jf: 1} }

// judged is a system call that is not simply allowed, and the instructions that judge it. They end with a verdict.
type judged struct {
	number uint32
	judge  []unix.SockFilter
}

// filter is the program that judges every system call. Programs of another architecture, whose numbers mean other
// calls, are killed at their first one.
//
// It searches for a call's number rather than to compare it with all: when a filter is put on, the kernel runs it once
// for every number there is, which takes longer than anything else about a filter.
func filter() []unix.SockFilter {
	calls := []judged{{unix.SYS_CLONE, judgeClone()}, {unix.SYS_PTRACE, judgePtrace()}, {unix.SYS_KILL, judgeKill()}}
	for _, n := range denied {
		calls = append(calls, judged{uint32(n), []unix.SockFilter{give(refuse)}})
	}
	for _, n := range missing {
		calls = append(calls, judged{uint32(n), []unix.SockFilter{give(unknow)}})
	}
	slices.SortFunc(calls, func(a, b judged) int { return cmp.Compare(a.number, b.number) })
	return append([]unix.SockFilter{
		load(dataArch),
		{Code: opEqual, K: auditArch, Jt: 1},
		give(kill),
		load(dataNumber), unless(opAtMost, lastNumber), give(unknow),
	}, search(calls)...)
}

// search judges the call whose number is loaded if it is among those, which are sorted, and allows any other.
func search(calls []judged) []unix.SockFilter {
	if len(calls) == 1 {
		c := calls[0]
		return slices.Concat([]unix.SockFilter{{Code: opEqual, K: c.number, Jf: jump(c.judge)}}, c.judge, []unix.SockFilter{give(allow)})
	}
	middle := len(calls) / 2
	below, rest := search(calls[:middle]), search(calls[middle:])
	return slices.Concat([]unix.SockFilter{{Code: opFrom, K: calls[middle].number, Jt: jump(below)}}, below, rest)
}

// jump is the distance across instructions. There are fewer than it can say.
func jump(over []unix.SockFilter) uint8 { return uint8(len(over)) } //nolint:gosec // a test looks at the largest

// judgeClone refuses new namespaces.
func judgeClone() []unix.SockFilter {
	return []unix.SockFilter{load(dataArg0), unless(opAny, namespaces), give(refuse), give(allow)}
}

// judgePtrace leaves what a launcher needs of tracing: a program stops at its exec until it is let go, and is killed when
// nobody is left to do that. With these nobody looks into anything.
func judgePtrace() []unix.SockFilter {
	return []unix.SockFilter{
		load(dataArg0),
		{Code: opEqual, K: unix.PTRACE_TRACEME, Jt: 4},
		{Code: opEqual, K: unix.PTRACE_DETACH, Jt: 3},
		{Code: opEqual, K: unix.PTRACE_SETOPTIONS, Jf: 3},
		load(dataArg3),
		unless(opEqual, unix.PTRACE_O_EXITKILL), give(allow), give(refuse),
	}
}

// deathInRoom is the signal by which a program in a room dies with the thread that started it. A fork of package syscall
// sends itself that signal when it does not see its parent, and from inside a room none does, so the filter makes nothing
// of sending it. It is one that the C libraries keep for themselves and send by other calls: programs can neither
// handle it nor have a reason to send it.
const deathInRoom = syscall.Signal(33)

func judgeKill() []unix.SockFilter {
	return []unix.SockFilter{load(dataArg1), unless(opEqual, uint32(deathInRoom)), give(skip), give(allow)}
}

// filterCalls puts the calling thread, and what it starts, under a filter. It must have no_new_privs.
func filterCalls(f []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]} //nolint:gosec // it is short
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
