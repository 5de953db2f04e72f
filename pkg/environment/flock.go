package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockPoll is how often a lock that another process holds is tried again: the system tells nobody who can be
// canceled when it is free.
const lockPoll = 20 * time.Millisecond

// lockFile takes the lock of a name until the file is closed, or until its process dies. It calls wait, once, when
// somebody else has it.
func lockFile(ctx context.Context, name string, wait func()) (*os.File, error) {
	for {
		f, err := tryLock(name)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return f, err
		}
		if wait != nil {
			wait()
			wait = nil
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("lock %s: %w", name, context.Cause(ctx))
		case <-timer.C:
		}
	}
}

// tryLock returns EWOULDBLOCK while somebody else has the lock. The file may be removed by who holds it, so the one
// that was locked counts only if it is still there.
func tryLock(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if err := flock(f, syscall.LOCK_EX); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		}
		if samePlace(f, name) {
			return f, nil
		}
		unlock(f) // it locks what nobody can find any more
	}
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// unlock gives a lock back at once: a process that is being forked has the file too, until it is another program.
func unlock(f *os.File) {
	_ = flock(f, syscall.LOCK_UN) // closing gives it back as well, later
	_ = f.Close()                 // it was only locked
}

// samePlace tells whether an open file or folder is what a name stands for now.
func samePlace(f *os.File, name string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(name)
	return err == nil && os.SameFile(open, there)
}

// hold opens a folder so that nobody removes it. It fails when it is being removed.
func hold(dir string) (*os.File, error) {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return nil, fmt.Errorf("open environment: %w", err)
	}
	if err := flock(f, syscall.LOCK_SH); err != nil || !samePlace(f, dir) {
		unlock(f)
		return nil, errors.Join(fmt.Errorf("open environment %s: %w", dir, fs.ErrNotExist), err)
	}
	return f, nil
}

// removeUnused removes a folder that nobody holds, and tells whether it has gone.
func removeUnused(dir string) (gone bool, err error) {
	f, err := os.Open(filepath.Clean(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove environment: %w", err)
	}
	defer unlock(f)
	if err := flock(f, syscall.LOCK_EX); errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("remove environment %s: %w", dir, err)
	}
	return true, RemoveAll(dir)
}

// RemoveAll removes a folder even where its permissions forbid that, because it is protected or a program has taken
// them away. It returns what the system says of what stays.
func RemoveAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	open := func(path string, d os.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(path, 0o700) //nolint:gosec // a folder needs the bit
		}
		return nil
	}
	_ = filepath.WalkDir(dir, open) // what stays shut shows itself in the next line
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}
