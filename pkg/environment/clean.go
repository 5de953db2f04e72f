package environment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// clean removes the tries of a digest that are not to be used any more and that nobody uses; all of them when the
// digest is retired. While somebody builds it nothing is removed: the builder does so itself.
func (s *Store) clean(digest string) error {
	lock, err := tryLock(s.lockName(digest))
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock(lock)
	return s.cleanLocked(digest)
}

func (s *Store) lockName(digest string) string { return filepath.Join(s.Dir, digest+".lock") }

func (s *Store) isRetired(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retired[digest] && s.builds[digest] == nil && s.current[digest] == nil
}

// cleanLocked is clean for who holds the lock.
func (s *Store) cleanLocked(digest string) error {
	dir := s.digestDir(digest)
	retired := s.isRetired(digest)
	keep := 0
	if retired {
		if err := removeMarker(dir); err != nil {
			return err
		}
	} else if m, err := readMarker(dir, digest); err == nil {
		keep = m.Attempt
	}
	left, err := s.removeTries(dir, keep)
	if err != nil || left || !retired {
		return err
	}
	return errors.Join(RemoveAll(dir), os.Remove(s.lockName(digest)))
}

// removeTries removes all tries but one that nobody uses, and tells whether any of them is left.
func (s *Store) removeTries(dir string, keep int) (left bool, err error) {
	tries, err := tries(dir)
	var errs []error
	for _, n := range tries {
		if n == keep {
			left = true
			continue
		}
		gone, err := removeUnused(filepath.Join(dir, strconv.Itoa(n)))
		errs = append(errs, err)
		left = left || !gone
	}
	return left, errors.Join(append(errs, err)...)
}

// tries lists the numbers of the tries in a digest's folder.
func tries(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store of packs: %w", err)
	}
	var all []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() {
			all = append(all, n)
		}
	}
	return all, nil
}
