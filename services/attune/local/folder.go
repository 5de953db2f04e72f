// Package local keeps what belongs to one machine's data folder: who uses it, the token of its API, and the
// file that tells the commands on the same machine how to connect.
//
// It guarantees that two processes never use one folder at once, whatever way an earlier one ended, and that
// attune.json is either absent or whole, and readable by its owner only.
package local

import (
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

// ErrInUse is returned when another process uses the folder.
var ErrInUse = errors.New("the data folder is in use")

// Folder is a data folder that this process alone uses.
type Folder struct {
	Dir  string // absolute
	lock *os.File
}

// Open makes the folder when it is absent, and takes it. What an earlier user announced is withdrawn.
func Open(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	f := &Folder{Dir: dir}
	if err := f.take(); err != nil {
		return nil, err
	}
	return f, f.Withdraw()
}

// makeFolder makes a private folder when there is none. Missing folders above it are made for everybody to pass
// through: what lives in the data folder may belong to another user.
func makeFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// take locks a file: the kernel gives the lock back when the process is gone.
func (f *Folder) take() error {
	lock, err := os.OpenFile(f.path("attune.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock data folder: %w", err)
	}
	if err := lockFile(lock); err != nil {
		defer lock.Close() //nolint:errcheck // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("%s: %w by process %d; stop that one, or choose another folder with --data", f.Dir, ErrInUse, holder(lock))
		}
		return fmt.Errorf("lock data folder %s: %w", f.Dir, err)
	}
	f.lock = lock
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("lock data folder: %w", err)
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("lock data folder: %w", err)
	}
	return nil
}

// A lock may outlive its process: one that is being killed takes a moment to go, and a child of it that had not
// become its own program yet has the file open too.
const (
	patience  = time.Second     // while its process seems to be there
	afterlife = 5 * time.Second // when that is gone
)

// lockFile takes the lock, waiting for one that is about to be given back.
func lockFile(lock *os.File) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; <-tick.C {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if waited := time.Since(begun); waited > afterlife || waited > patience && isAlive(holder(lock)) {
			return err
		}
	}
}

// holder is the process that has, or had, the lock, 0 when it is not known.
func holder(lock *os.File) int {
	text := make([]byte, 20)
	n, _ := lock.ReadAt(text, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return 0
	}
	return pid
}

func isAlive(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// Close gives the folder back.
func (f *Folder) Close() error {
	if err := f.lock.Close(); err != nil {
		return fmt.Errorf("give back data folder: %w", err)
	}
	return nil
}

func (f *Folder) path(name string) string { return filepath.Join(f.Dir, name) }

// write puts a file in place whole, readable by its owner only.
func (f *Folder) write(name string, content []byte) error {
	fresh := f.path("." + name + ".new")
	if err := os.WriteFile(fresh, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", f.path(name), err)
	}
	if err := os.Rename(fresh, f.path(name)); err != nil {
		return fmt.Errorf("write %s: %w", f.path(name), err)
	}
	return nil
}
