package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/attune/attune/services/attune/local"
)

// pidFile holds the process id of the cluster's own process.
const pidFile = "cluster.pid"

var errNoPID = errors.New("no process id in it")

// down tells the cluster that uses a folder to stop, and waits until it has.
func down(ctx context.Context, dir string, out io.Writer) error {
	running, err := inUse(dir)
	if err != nil {
		return err
	}
	if !running {
		_, err := fmt.Fprintf(out, "no cluster runs in %s\n", dir)
		return err
	}
	pid, err := readPID(filepath.Join(dir, pidFile))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	fmt.Fprintf(out, "process %d drains the cluster ...\n", pid)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d goes on draining: %w", pid, context.Cause(ctx))
		}
	}
	_, err = fmt.Fprintln(out, "the cluster has stopped")
	return err
}

// inUse tells whether a cluster uses a folder: it has the folder locked for as long as it lives.
func inUse(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, pidFile)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	f, err := local.Open(dir)
	if errors.Is(err, local.ErrInUse) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

func readPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("process of the cluster: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("process of the cluster: %s: %w", file, errNoPID)
	}
	return pid, nil
}
