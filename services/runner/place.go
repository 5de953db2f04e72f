package runner

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/attune/attune/pkg/environment"
)

// errTaken is returned when another runner uses the data folder.
var errTaken = errors.New("another runner uses this folder")

// place is a runner's data folder. Only one runner has it at a time.
type place struct {
	dir, work, packs, spool, wrappers string

	name     string // this runner's name: unique for every start
	previous string // the name of the runner that had the folder before; "" if none had
	lock     *os.File

	mu    sync.Mutex // guards seats
	seats []*seat    // free ones
}

// passable is the mode of folders through which programs with a user of their own reach what is theirs. The folder
// above is closed to everybody, and only rooms show them.
const passable = 0o711

// openPlace takes the folder, makes what is in it, and clears the work of a runner before.
func openPlace(dir, name string) (*place, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	p := &place{dir: dir}
	for sub, at := range map[string]*string{"work": &p.work, "packs": &p.packs, "spool": &p.spool, "wrappers": &p.wrappers} {
		*at = filepath.Join(dir, sub)
		if err := os.MkdirAll(*at, 0o700); err != nil {
			return nil, fmt.Errorf("data folder: %w", err)
		}
	}
	for _, shown := range []string{p.work, p.packs, p.wrappers} {
		if err := os.Chmod(shown, passable); err != nil {
			return nil, fmt.Errorf("data folder: %w", err)
		}
	}
	if p.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(p.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s: %w: %w", dir, errTaken, err), p.lock.Close())
	}
	return p, p.rename(name)
}

// rename gives this start a name of its own: if it had its predecessor's, nobody would notice that that one
// had died, and its executions would seem to run for ever.
func (p *place) rename(name string) error {
	file := filepath.Join(p.dir, "name")
	before, err := os.ReadFile(filepath.Clean(file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("data folder: %w", err)
	}
	p.previous = strings.TrimSpace(string(before))
	suffix := make([]byte, 3)
	_, _ = rand.Read(suffix) // it never fails
	p.name = name + "-" + hex.EncodeToString(suffix)
	if err := os.WriteFile(file, []byte(p.name+"\n"), 0o600); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// clear removes the work folders that a killed runner left.
func (p *place) clear() error {
	left, err := os.ReadDir(p.work)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	var errs []error
	for _, l := range left {
		errs = append(errs, environment.RemoveAll(filepath.Join(p.work, l.Name())))
	}
	return errors.Join(errs...)
}

// close gives the folder to whoever comes next.
func (p *place) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.seats {
		errs = append(errs, s.remove())
	}
	p.seats = nil
	// To close it is not enough while a fork that is just under way has it open too.
	errs = append(errs, syscall.Flock(int(p.lock.Fd()), syscall.LOCK_UN))
	return errors.Join(append(errs, p.lock.Close())...)
}
