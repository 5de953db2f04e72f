package process

import (
	"bytes"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mark is a value of RLIMIT_RTTIME, in microseconds of real-time scheduling: markBit, then 28 bits that name
// the launcher, then 32 that number the run. markBit alone is 36,000 years.
type mark uint64

const (
	markBit   = 1 << 60
	seedShift = 32
	seedBits  = 28
)

// seedMark gives the mark of run 0 of the launcher named by seed. The same seed gives the same mark for ever,
// so that a launcher recognises what an earlier one left behind.
func seedMark(seed string) mark {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed)) // a hash takes everything
	return markBit | mark(h.Sum64()>>(64-seedBits))<<seedShift
}

func (m mark) run(n uint32) mark { return m | mark(n) }

// family tells whether two marks belong to one launcher.
func (m mark) family(other mark) bool { return m>>seedShift == other>>seedShift }

// set marks a process and all that it will fork. Where the system refuses, the session and the environment
// remain to tell whose the descendants are.
func (m mark) set(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: uint64(m), Max: uint64(m)}, nil)
}

// markOf reads a process's mark; 0 when it has none or has gone.
func markOf(pid int) mark {
	var l unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_RTTIME, nil, &l); err != nil || l.Max == unix.RLIM_INFINITY {
		return 0
	}
	return mark(l.Max)
}

// hasEnviron tells whether one of the strings of a process's initial environment begins with text.
func hasEnviron(pid int, text string) bool {
	if text == "" {
		return false
	}
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false // it has gone, or is not ours to read and hence not ours
	}
	return bytes.HasPrefix(env, []byte(text)) || bytes.Contains(env, []byte("\x00"+text))
}

// every lists all processes.
func every() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }() // it was only read
	names, _ := dir.Readdirnames(-1)   // what was read before an error is still to be looked at
	pids := make([]int, 0, len(names))
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// adopted lists the children of this process's first thread: orphans come to it, besides what it forked.
// The first thread of a Go program lives as long as the program.
func adopted() []int {
	self := strconv.Itoa(os.Getpid())
	list, err := os.ReadFile("/proc/self/task/" + self + "/children")
	if err != nil {
		return orphans(os.Getpid())
	}
	fields := strings.Fields(string(list))
	pids := make([]int, 0, len(fields))
	for _, f := range fields {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// orphans is adopted for kernels without the children file.
func orphans(parent int) []int {
	var pids []int
	for _, pid := range every() {
		if s, ok := statOf(pid); ok && s.parent == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat is what /proc says of a process.
type stat struct {
	state  byte
	parent int
}

func statOf(pid int) (stat, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	// The name, in parentheses, may hold anything: what follows its last parenthesis is regular.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 || len(fields[0]) != 1 {
		return stat{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return stat{state: fields[0][0], parent: parent}, err == nil
}

// zombie tells whether a process has ended and only waits to be reaped.
func zombie(pid int) bool {
	s, ok := statOf(pid)
	return ok && (s.state == 'Z' || s.state == 'X')
}

// killIf sends a signal to a process for which whose holds. The descriptor pins the process, so that the
// number cannot come to mean another one between the question and the signal.
func killIf(pid int, sig syscall.Signal, whose func(pid int) bool) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }() // a descriptor of this kind has nothing to flush
	if !whose(pid) || zombie(pid) {
		return false
	}
	_ = unix.PidfdSendSignal(fd, sig, nil, 0) // it has just ended, which is as good
	return true
}
