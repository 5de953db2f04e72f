package environment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/streams"
)

// Environment is a pack that is ready. Whoever got one from a Store gives it back by Release; until then its
// files stay as they are.
type Environment struct {
	Digest string
	Pack   string // folder of the pack's files
	Tools  Tools  // what its programs run with

	Runtimes []runtime.Found   // the interpreters that it was built with
	Missing  []streams.Missing // the runtimes that it needs and this machine does not have

	store  *Store
	dir    string // of this try
	lock   *os.File
	marker marker
	uses   int // guarded by store.mu; being the current one of its digest is a use
}

// Tools says by runtime where what was built for it is.
type Tools map[string]string

// Definition reads the pack's files.
func (e *Environment) Definition() (pack.Pack, error) { return pack.Load(e.Pack) }

// Env is the folder that was built for a runtime; "" when nothing was.
func (e *Environment) Env(name string) string { return e.Tools[name] }

// Interpreter gives what programs of a runtime are started by, or what is missing.
func (e *Environment) Interpreter(name string) (found runtime.Found, missing streams.Missing, ok bool) {
	for _, f := range e.Runtimes {
		if f.Name == name {
			return f, streams.Missing{}, true
		}
	}
	for _, m := range e.Missing {
		if m.Runtime == name {
			return runtime.Found{}, m, false
		}
	}
	return runtime.Found{}, streams.Missing{Runtime: name}, false
}

// Release says that nothing more will be started from the environment, and that nothing runs from it any more.
func (e *Environment) Release() { e.store.release(e) }

// passable is the mode of folders through which programs reach a pack that are not run by the store's own user. The
// store's folder itself is closed to whom its owner closes it.
const passable = 0o711

// adopt makes what a marker stands for usable, and keeps it from being removed.
func (s *Store) adopt(digest string, m marker, missing []streams.Missing) (*Environment, error) {
	dir := s.tryDir(digest, m.Attempt)
	lock, err := hold(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{s.digestDir(digest), dir} {
		if err := os.Chmod(d, passable); err != nil {
			return nil, errors.Join(fmt.Errorf("open pack to its programs: %w", err), lock.Close())
		}
	}
	e := &Environment{
		Digest: digest, Pack: filepath.Join(dir, "pack"), Tools: Tools{}, Missing: missing,
		store: s, dir: dir, lock: lock, marker: m,
	}
	for _, i := range m.Runtimes {
		e.Runtimes = append(e.Runtimes, i.Found)
		if i.Built {
			e.Tools[i.Name] = filepath.Join(dir, "env", i.Name)
		}
	}
	return e, nil
}

// same tells whether the interpreters are still the programs that they were. It looks at their files only.
func (e *Environment) same() bool {
	for _, i := range e.marker.Runtimes {
		if !i.same() {
			return false
		}
	}
	return true
}

func (s *Store) digestDir(digest string) string { return filepath.Join(s.Dir, digest) }

func (s *Store) tryDir(digest string, attempt int) string {
	return filepath.Join(s.Dir, digest, strconv.Itoa(attempt))
}
