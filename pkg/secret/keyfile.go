package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/attune/attune/pkg/credential"
)

const maxKeys = 16 // in one file

// keyFile is a Source: a file with a key a line, the newest first. Empty lines and those that begin with # are not
// looked at.
type keyFile struct {
	path   string
	others fs.FileMode // rights that nobody else may have
}

// KeyFile is the Source that is a file for its owner only. The file is made when there is no key at all, and gets new
// keys when secrets go over to one.
func KeyFile(path string) Source { return ownFile{keyFile{path: path, others: credential.Own}} }

// Credential is the Source that is a file which the service manager hands over, such as $CREDENTIALS_DIRECTORY/NAME of
// systemd. Nothing is written to it.
func Credential(path string) Source { return keyFile{path: path, others: credential.Handed} }

func (f keyFile) String() string { return f.path }

// Load reads the keys; a file that is not there has none.
func (f keyFile) Load(context.Context) ([]Wrapper, error) {
	content, err := f.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("key of the secrets: %w", err)
	}
	defer clear(content)
	var keys []Wrapper
	for line := range bytes.Lines(content) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		if !bytes.HasPrefix(line, []byte(keyPrefix)) || len(keys) == maxKeys {
			return nil, fmt.Errorf("%s does not hold a key a line, at most %d: %w", f.path, maxKeys, ErrKeyFile)
		}
		k, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s does not hold a key: %w", f.path, ErrKeyFile)
	}
	return keys, nil
}

func (f keyFile) read() ([]byte, error) { return credential.Read(f.path, f.others) }

// ownFile is a keyFile that may be written.
type ownFile struct{ keyFile }

// MakeKey puts a fresh key in front of those in a file, which it makes when it is not there.
func MakeKey(file string) error { return ownFile{keyFile{path: file, others: credential.Own}}.Make() }

// Make puts a fresh key in front of those in the file. The file is whole at every moment, and keeps its owner.
func (f ownFile) Make() error {
	old, err := f.read()
	first := errors.Is(err, fs.ErrNotExist)
	if err != nil && !first {
		return fmt.Errorf("make a key of the secrets: %w", err)
	}
	defer clear(old)
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("make a key of the secrets: %w", err)
	}
	content := append([]byte(freshLine()), old...)
	defer clear(content)
	if err := f.write(content, first); err != nil {
		return fmt.Errorf("make a key of the secrets: %w", err)
	}
	return nil
}

// write makes the file appear with that content, on the disk. The first time it replaces none.
func (f ownFile) write(content []byte, first bool) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(f.path), ".key-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmp.Close(), ignoreAbsent(os.Remove(tmp.Name()))) }()
	if err := errors.Join(tmp.Chmod(0o400), f.keepOwner(tmp, first)); err != nil {
		return err
	}
	if _, err := tmp.Write(content); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	place := os.Rename
	if first {
		place = os.Link
	}
	if err := place(tmp.Name(), f.path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

// keepOwner gives the new file to the owner of the one that it replaces: root may add a key for a service.
func (f ownFile) keepOwner(tmp *os.File, first bool) error {
	if first {
		return nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return tmp.Chown(int(st.Uid), int(st.Gid))
	}
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncFolder(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
