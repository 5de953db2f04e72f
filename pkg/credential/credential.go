// Package credential reads files that hold credentials.
//
// It guarantees that none is taken from a file that others may read or write, and that errors show nothing of what a
// file holds.
package credential

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// MaxBytes bounds such a file.
const MaxBytes = 64 << 10

// What others may not do with a file.
const (
	// Own is for files of which nobody but their owner needs to know.
	Own fs.FileMode = 0o077
	// Handed is for files that a service manager or an agent hands over: to let a service's user read it, systemd gives
	// it an access list, which looks like a right of the group.
	Handed fs.FileMode = 0o037
)

// ErrFile is returned for a file that is not what it has to be, or that others may read.
var ErrFile = errors.New("file with credentials is not acceptable")

// Read gives what a file holds, unless its mode has one of the rights in others.
func Read(path string, others fs.FileMode) ([]byte, error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular() || info.Size() > MaxBytes:
		return nil, fmt.Errorf("%s is no file, or has more than %d bytes: %w", path, MaxBytes, ErrFile)
	case info.Mode().Perm()&others != 0:
		return nil, fmt.Errorf("%s has mode %v, so that others may read it or write to it; chmod 0400 it, and consider what it holds known to them: %w",
			path, info.Mode(), ErrFile)
	}
	content := make([]byte, info.Size())
	n, err := file.ReadAt(content, 0)
	if n < len(content) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}
