package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeWrapper puts a wrapper into a folder named by its content, so that versions of Attune do not disturb
// each other's.
func writeWrapper(dir string, d Definition) (string, error) {
	name := filepath.Base(d.Run.Wrapper)
	text, err := fs.ReadFile(d.folder, d.Run.Wrapper)
	if err != nil {
		return "", fmt.Errorf("wrapper %s of runtime %s: %w", name, d.Name, err)
	}
	sum := sha256.Sum256(text)
	folder := filepath.Join(dir, hex.EncodeToString(sum[:8]))
	file := filepath.Join(folder, name)
	if have, err := os.ReadFile(filepath.Clean(file)); err == nil && string(have) == string(text) {
		return file, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // actions may run as other users
		return "", fmt.Errorf("wrapper %s of runtime %s: %w", name, d.Name, err)
	}
	return file, replace(file, text)
}

// replace writes a file so that nobody ever sees half of it.
func replace(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		if rm := os.Remove(f.Name()); !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
