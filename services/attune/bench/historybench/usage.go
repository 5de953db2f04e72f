package historybench

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

// used reads the clock of a process: the processor time of all its threads. One that has ended has none.
func used(pid int) time.Duration {
	const schedulerClock = 2
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|schedulerClock), &t) != nil { //nolint:gosec // as clock_getcpuclockid does
		return 0
	}
	return time.Duration(t.Nano())
}

// processes are PostgreSQL's, by the one that starts the others.
type processes struct{ root int }

// postgresOf gives the processes of a database's server.
func postgresOf(ctx context.Context, db *pgxpool.Pool) (processes, error) {
	var backend int
	err := db.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend)
	root, _ := parentOf(backend)
	return processes{root}, err
}

// used is the processor time of all of them, and of those that have ended.
func (p processes) used() (sum time.Duration) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range all {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent, ended := parentOf(pid)
		switch p.root {
		case pid:
			sum += used(pid) + ended
		case parent:
			sum += used(pid)
		}
	}
	return sum
}

// parentOf gives a process's parent, and the processor time of its children that have ended.
func parentOf(pid int) (parent int, ended time.Duration) {
	const parentField, endedUser, endedSystem, tick = 1, 13, 14, time.Second / 100 // counted after the name
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) <= endedSystem {
		return 0, 0
	}
	parent, _ = strconv.Atoi(fields[parentField])
	for _, i := range []int{endedUser, endedSystem} {
		n, _ := strconv.Atoi(fields[i])
		ended += time.Duration(n) * tick
	}
	return parent, ended
}
