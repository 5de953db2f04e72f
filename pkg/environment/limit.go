package environment

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// errTooLarge is the cause of the end of a build that takes too much of the disk.
var errTooLarge = errors.New("it takes more of the disk than is allowed")

// How often the size of a build is looked at: rarely enough to cost little, however many files it has.
const (
	sizeEvery = 200 * time.Millisecond
	sizeShare = 20 // looking takes at most one part in so many of the time
)

// limitSize ends a build when its folder grows over a limit, until it is stopped. Over is closed then.
func limitSize(ctx context.Context, dir string, limit int64, end context.CancelCauseFunc) (over <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	exceeded := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for wait := sizeEvery; ; {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			began := time.Now()
			if sizeOf(dir) > limit {
				close(exceeded)
				end(errTooLarge)
				return
			}
			wait = max(sizeEvery, sizeShare*time.Since(began))
		}
	})
	return exceeded, func() { cancel(); done.Wait() }
}

// sizeOf is what a folder takes of the disk. What vanishes meanwhile is not counted.
func sizeOf(dir string) int64 {
	var total int64
	count := func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it has gone, or is somebody's who shut it
		}
		if info, err := d.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				total += s.Blocks * 512
			}
		}
		return nil
	}
	_ = filepath.WalkDir(dir, count) // count returns no error
	return total
}

// spaceLeft is how many bytes the disk of a folder has free; -1 when that cannot be told.
func spaceLeft(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * s.Bsize //nolint:gosec // no disk is that large
}

// isFull tells whether an error, or the little space that is left, is of a full disk.
func isFull(err error, dir string) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	left := spaceLeft(dir)
	return left >= 0 && left < 1<<20
}

// protect makes a folder and all in it read-only. What is executable stays so.
func protect(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()&^0o222|0o444)
	})
}
