package runner

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/streams"
)

// machine is what can be run here. It is looked for at the start, and again when an interpreter, or a folder where
// they are, has changed.
type machine struct {
	detect func(ctx context.Context) (*runtime.Set, error)
	dirs   []string      // folders with interpreters
	change chan struct{} // has a token when what is here has changed

	looking sync.Mutex // held while it is looked for

	mu   sync.Mutex // guards the fields below
	set  *runtime.Set
	seen map[string]os.FileInfo // the interpreters and folders, as they were before they were asked
}

func newMachine(dirs []string, detect func(ctx context.Context) (*runtime.Set, error)) *machine {
	return &machine{detect: detect, dirs: dirs, change: make(chan struct{}, 1)}
}

// current is what was found last; nil before look.
func (m *machine) current() *runtime.Set {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set
}

// look gives what is here, and asks the interpreters only when something has changed, or when it is told to.
func (m *machine) look(ctx context.Context, anyway bool) (*runtime.Set, error) {
	m.looking.Lock()
	defer m.looking.Unlock()
	if set := m.current(); set != nil && !anyway && !m.changed() {
		return set, nil
	}
	dirs := stats(m.dirs)
	set, err := m.detect(ctx)
	if err != nil {
		return nil, fmt.Errorf("find runtimes: %w", err)
	}
	var files []string
	for _, f := range set.Found() {
		files = append(files, f.Path, filepath.Dir(f.Path))
	}
	seen := stats(files)
	maps.Copy(seen, dirs)
	m.keep(set, seen)
	return set, nil
}

func (m *machine) keep(set *runtime.Set, seen map[string]os.FileInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.set != nil && !slices.Equal(m.set.Found(), set.Found()) {
		select {
		case m.change <- struct{}{}:
		default:
		}
	}
	m.set, m.seen = set, seen
}

// changed tells whether a file or folder is not what it was.
func (m *machine) changed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, before := range m.seen {
		now, err := os.Stat(name)
		if (err != nil) != (before == nil) {
			return true
		}
		if err == nil && (!os.SameFile(before, now) || !before.ModTime().Equal(now.ModTime()) || before.Size() != now.Size()) {
			return true
		}
	}
	return false
}

// stats looks at files. Those that are not there have no information.
func stats(names []string) map[string]os.FileInfo {
	all := map[string]os.FileInfo{}
	for _, name := range names {
		if filepath.IsAbs(name) {
			all[name], _ = os.Stat(name) // its absence is told by the nil
		}
	}
	return all
}

// runtimes lists what is here as others see it.
func (m *machine) runtimes() []streams.Runtime {
	all := []streams.Runtime{}
	if set := m.current(); set != nil {
		for _, f := range set.Found() {
			all = append(all, streams.Runtime{Name: f.Name, Version: f.Version, Path: f.Path})
		}
	}
	return all
}
