package sensor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/attune/attune/pkg/pack"
)

// maxHosts bounds how many hosts share a data folder.
const maxHosts = 16

// errTaken is returned when other hosts use all folders.
var errTaken = errors.New("other hosts of sensors use this folder")

// folder is what a host keeps on its machine. Only one host has it at a time.
type folder struct {
	dir  string
	lock *os.File
}

// takeFolder takes the first folder below dir that no other host has.
func takeFolder(dir string) (*folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	for n := range maxHosts {
		f, err := tryFolder(filepath.Join(dir, strconv.Itoa(n)))
		if !errors.Is(err, errTaken) {
			return f, err
		}
	}
	return nil, fmt.Errorf("data folder %s: %w", dir, errTaken)
}

func tryFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(filepath.Join(dir, "work"), 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s: %w: %w", dir, errTaken, err), lock.Close())
	}
	return &folder{dir: dir, lock: lock}, nil
}

func (f *folder) close() error { return f.lock.Close() }

// environ begins an environment string that all programs of this host have, and no other program has.
func (f *folder) environ() string {
	return envFolder + "=" + filepath.Join(f.dir, "work") + string(os.PathSeparator)
}

// work is a sensor's own folder. It is kept between its starts on this host.
func (f *folder) work(sensor pack.Ref) (string, error) {
	dir := filepath.Join(f.dir, "work", sensor.String())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("folder of sensor %s: %w", sensor, err)
	}
	return dir, nil
}

// forget removes the folder of a sensor that does not exist any more.
func (f *folder) forget(sensor pack.Ref) error {
	if err := os.RemoveAll(filepath.Join(f.dir, "work", sensor.String())); err != nil {
		return fmt.Errorf("folder of sensor %s: %w", sensor, err)
	}
	return nil
}
