package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is Linux's unit of processor time in /proc, on every architecture that Go runs on.
const tick = time.Second / 100

// databaseProgram is how processes of PostgreSQL are called in /proc.
const databaseProgram = "postgres"

// usage is the processor time that the processes of an instance have used.
type usage struct {
	services time.Duration // attune itself, with the NATS server in it
	database time.Duration
	actions  time.Duration // programs that have ended
}

func (u usage) minus(earlier usage) usage {
	return usage{services: u.services - earlier.services, database: u.database - earlier.database, actions: u.actions - earlier.actions}
}

func (u usage) all() time.Duration { return u.services + u.database + u.actions }

// per gives a part of n in microseconds.
func per(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(n) }

// usage reads the clocks of all processes.
func (in *instance) usage() usage {
	root := in.process.Process.Pid
	u := usage{services: processorTime(root), actions: statOf(root).waited}
	for _, s := range family(root) {
		if s.name == databaseProgram && s.pid != in.history.pid { // but for what our own questions take
			u.database += processorTime(s.pid) + s.waited
		}
	}
	return u
}

// processorTime reads a process's own clock, which is finer than what /proc says. A process that has ended has none.
func processorTime(pid int) time.Duration {
	const schedulerClock = 2
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|schedulerClock), &t) != nil { //nolint:gosec // as clock_getcpuclockid does
		return 0
	}
	return time.Duration(t.Nano())
}

// ownUsage is the processor time of this process and of the programs that it started.
func ownUsage() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if unix.Getrusage(who, &r) == nil {
			sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
	}
	return sum
}

// stat is what /proc says of a process.
type stat struct {
	pid, parent int
	name        string
	waited      time.Duration // processor time of its children that have ended
}

// Fields of /proc/PID/stat, counted after the name.
const (
	parentField = 1
	waitedField = 13 // user and system, of children
)

func statOf(pid int) stat {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{} // it has ended
	}
	head, rest, _ := strings.Cut(string(b), ") ")
	_, name, _ := strings.Cut(head, " (")
	fields := strings.Fields(rest)
	if len(fields) <= waitedField+1 {
		return stat{}
	}
	number := func(i int) int { n, _ := strconv.Atoi(fields[i]); return n } // the kernel writes numbers
	return stat{pid: pid, parent: number(parentField), name: name, waited: time.Duration(number(waitedField)+number(waitedField+1)) * tick}
}

// family gives all processes below one.
func family(root int) (all []stat) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	parents := map[int]int{}
	var every []stat
	for _, file := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file))) // the pattern asks for digits
		s := statOf(pid)
		parents[pid] = s.parent
		every = append(every, s)
	}
	for _, s := range every {
		if s.pid != root && descends(parents, s.pid, root) {
			all = append(all, s)
		}
	}
	return all
}

func descends(parents map[int]int, pid, root int) bool {
	for pid > 1 {
		if pid = parents[pid]; pid == root {
			return true
		}
	}
	return false
}

// Lines of /proc/PID/smaps_rollup and /proc/PID/status.
const (
	shareOfMemory = "Pss:" // pages that several have count in parts
	residentNow   = "VmRSS:"
	peakMemory    = "VmHWM:"
)

// memory gives the bytes that a process has of a kind.
func memory(pid int, what string) (int64, error) {
	file := "status"
	if what == shareOfMemory {
		file = "smaps_rollup"
	}
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), file))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == what {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d does not say its %s", pid, what)
}
