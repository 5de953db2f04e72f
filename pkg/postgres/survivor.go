package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrSurvivor is returned when a server that an earlier process left behind cannot be stopped.
var ErrSurvivor = errors.New("an earlier PostgreSQL still runs")

// survivorGrace is how long a server that was left behind may take to stop, per signal.
const survivorGrace = 15 * time.Second

// stopSurvivor ends the server that still runs on the data. A lock file that names a process which is not
// that server (its number was given to another since) is removed, because PostgreSQL would believe it.
func stopSurvivor(ctx context.Context, data string) error {
	lock := filepath.Join(data, "postmaster.pid")
	pid, err := lockedBy(lock)
	if err != nil || pid == 0 || !exists(pid) {
		return err
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != data {
		if err := os.Remove(lock); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove stale lock of PostgreSQL: %w", err)
		}
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop PostgreSQL %d: %w", pid, err)
		}
		if waitGone(ctx, pid, survivorGrace) {
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL %d on %s: %w", pid, data, ErrSurvivor)
}

// lockedBy reads the process number from a server's lock file, 0 when there is none.
func lockedBy(lock string) (int, error) {
	text, err := os.ReadFile(lock)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("lock of PostgreSQL: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0, nil
	}
	return pid, nil
}

func exists(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

func waitGone(ctx context.Context, pid int, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for exists(pid) {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
