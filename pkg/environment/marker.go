package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// markerName is the file that says which try of a digest is complete.
const markerName = "complete.json"

// markerVersion is the version of the marker. A marker of another version is none: the pack is built again.
const markerVersion = 1

// marker says that a pack is ready.
type marker struct {
	Version  int               `json:"v"`
	Digest   string            `json:"digest"`
	Attempt  int               `json:"attempt"`
	Wants    map[string]string `json:"wants"` // the runtimes of the pack, and the ranges of their versions
	Runtimes []interpreter     `json:"runtimes"`
	BuiltAt  time.Time         `json:"built_at"`
}

// errNoMarker is returned when a digest has no complete try.
var errNoMarker = errors.New("no complete environment")

// readMarker gives the marker of a digest's folder. One that cannot be read, or is of something else, is none.
func readMarker(dir, digest string) (marker, error) {
	data, err := os.ReadFile(filepath.Join(dir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return marker{}, errNoMarker
	}
	if err != nil {
		return marker{}, fmt.Errorf("read environment's marker: %w", err)
	}
	var m marker
	if err := json.Unmarshal(data, &m); err != nil {
		return marker{}, fmt.Errorf("%w: %w", errNoMarker, err)
	}
	if m.Version != markerVersion || m.Digest != digest || m.Attempt < 1 {
		return marker{}, fmt.Errorf("version %d, digest %.80q, attempt %d: %w", m.Version, m.Digest, m.Attempt, errNoMarker)
	}
	return m, nil
}

// writeMarker makes a try the one to use, for good: everything that it stands for is on the disk before.
func writeMarker(dir string, m marker) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode environment's marker: %w", err)
	}
	f, err := os.CreateTemp(dir, ".marker-*")
	if err != nil {
		return fmt.Errorf("write environment's marker: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, markerName))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write environment's marker: %w", err), os.Remove(f.Name()))
	}
	return syncDir(dir)
}

func removeMarker(dir string) error {
	err := os.Remove(filepath.Join(dir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove environment's marker: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
