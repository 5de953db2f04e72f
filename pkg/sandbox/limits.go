package sandbox

import (
	"golang.org/x/sys/unix"
)

// Limits bound what a program and what it starts may use. A zero is the default, or no bound where there is none.
type Limits struct {
	FileBytes int64   // of one file
	Files     int64   // open at once, by one process; 0: DefaultFiles
	Memory    int64   // bytes, of all its processes; without control groups of the data of each
	Processes int64   // and threads; 0: DefaultProcesses where a program has a user of its own
	CPU       float64 // processors; without control groups it has no effect
}

// Defaults of Limits.
const (
	DefaultFiles     = 1 << 16
	DefaultProcesses = 1 << 12
	DefaultFileBytes = 64 << 30
)

// apply sets the limits of a process. Its memory may be bounded otherwise.
func (p *Policy) apply(pid int, memory bool) {
	lower(pid, unix.RLIMIT_CORE, 0)
	lower(pid, unix.RLIMIT_NOFILE, orDefault(p.Limits.Files, DefaultFiles))
	lower(pid, unix.RLIMIT_FSIZE, orDefault(p.Limits.FileBytes, DefaultFileBytes))
	if p.User != 0 {
		lower(pid, unix.RLIMIT_NPROC, orDefault(p.Limits.Processes, DefaultProcesses))
	}
	if p.Limits.Memory > 0 && !memory {
		lower(pid, unix.RLIMIT_DATA, uint64(p.Limits.Memory)) //nolint:gosec // it is positive
	}
}

func orDefault(n, otherwise int64) uint64 {
	if n <= 0 {
		n = otherwise
	}
	return uint64(n) //nolint:gosec // it is positive
}

// lower sets a limit unless the one that is there is lower. A process that has just been killed has none.
func lower(pid, resource int, most uint64) {
	var now unix.Rlimit
	if unix.Prlimit(pid, resource, nil, &now) != nil {
		return
	}
	now.Cur, now.Max = min(now.Cur, most), min(now.Max, most)
	_ = unix.Prlimit(pid, resource, &now, nil) // likewise
}
