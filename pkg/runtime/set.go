package runtime

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/version"
)

// ErrNoRuntime is returned when an action wants a runtime that this machine does not have.
var ErrNoRuntime = errors.New("this runner does not have the runtime")

// Set is the runtimes of a machine, ready to start programs.
type Set struct {
	definitions []Definition
	found       []Found           // newest first per runtime
	wrappers    map[string]string // the wrappers' files by the names of their runtimes
	path        string
	dir         string
	container   ContainerConfig
}

// SetConfig is what a Set is made of.
type SetConfig struct {
	Definitions []Definition
	Found       []Found // as Detect reports it
	Dir         string  // where wrappers are written, unless they are there
	Path        string  // PATH that programs get, and where the shells that scripts name are looked for
	Container   ContainerConfig
}

// NewSet writes the wrappers and gives the runtimes that were found.
func NewSet(c SetConfig) (*Set, error) {
	s := &Set{definitions: c.Definitions, found: c.Found, wrappers: map[string]string{}, path: c.Path, dir: c.Dir, container: c.Container}
	for _, d := range c.Definitions {
		if d.Run.Wrapper == "" {
			continue
		}
		file, err := writeWrapper(c.Dir, d)
		if err != nil {
			return nil, err
		}
		s.wrappers[d.Name] = file
	}
	return s, nil
}

// Definition gives what there is to know of a runtime.
func (s *Set) Definition(name string) (Definition, bool) { return Define(s.definitions, name) }

// Found lists what there is, the newest first per runtime.
func (s *Set) Found() []Found { return slices.Clone(s.found) }

// Choose gives the newest version of a runtime that is in the range.
func (s *Set) Choose(name string, r version.Range) (Found, error) {
	var have []string
	for _, f := range s.found {
		switch {
		case f.Name != name:
		case r.Holds(f.Version):
			return f, nil
		default:
			have = append(have, f.Version)
		}
	}
	want := strings.TrimSpace(name + " " + r.String())
	switch {
	case len(have) > 0:
		return Found{}, fmt.Errorf("runtime %s: %w: it has %s", want, ErrNoRuntime, strings.Join(have, ", "))
	case s.knows(name):
		return Found{}, fmt.Errorf("runtime %s: %w", want, ErrNoRuntime)
	}
	return Found{}, fmt.Errorf("runtime %s: %w, and no definition of that name", want, ErrNoRuntime)
}

func (s *Set) knows(name string) bool {
	_, ok := s.Definition(name)
	return ok
}

// before puts folders before those of a path, unless they are among them.
func before(path string, dirs ...string) string {
	have := filepath.SplitList(path)
	dirs = slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool { return slices.Contains(have, dir) })
	return strings.Join(append(dirs, have...), string(filepath.ListSeparator))
}
