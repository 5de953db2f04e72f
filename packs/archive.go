package packs

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/attune/attune/pkg/pack"
)

// Archive gives a shipped pack as it is installed.
func Archive(name string) ([]byte, error) {
	tree, err := fs.Sub(FS, name)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "attune-pack-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a copy in the system's temporary folder
	folder := filepath.Join(dir, name)
	if err := os.CopyFS(folder, tree); err != nil {
		return nil, err
	}
	_, archive, err := pack.Archive(folder)
	return archive, err
}
