package runtime

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/attune/attune/pkg/pack"
)

//go:embed attune.py attune.mjs
var wrappers embed.FS

var (
	// ErrNoRuntime is returned when an action wants a runtime that this machine does not have.
	ErrNoRuntime = errors.New("this runner does not have the runtime")
	// ErrEntryPoint is returned when an action's entry point cannot be started.
	ErrEntryPoint = errors.New("entry point is not usable")
)

// Set is the runtimes of a machine, ready to start programs.
type Set struct {
	found    map[string]Found
	wrappers map[string]string // the wrappers' files by their embedded names
	path     string
}

// NewSet writes the wrappers below dir, unless they are there, and gives the runtimes that were found. Path
// is the PATH that programs get, and where the shells that scripts name are looked for.
func NewSet(found []Found, dir, path string) (*Set, error) {
	s := &Set{found: map[string]Found{}, wrappers: map[string]string{}, path: path}
	for _, f := range found {
		s.found[f.Name] = f
	}
	for _, d := range definitions {
		if d.wrapper == "" {
			continue
		}
		file, err := writeWrapper(dir, d.wrapper)
		if err != nil {
			return nil, err
		}
		s.wrappers[d.wrapper] = file
	}
	return s, nil
}

// Command is how the program of an action is started. It is the same for all its executions.
type Command struct {
	Path      string
	Args      []string
	Variables bool // file descriptor 3 is to give the shell variables; see Variables
}

// Command tells how to start an action of the pack that is unpacked in packDir.
func (s *Set) Command(packDir string, a pack.Action) (Command, error) {
	file, function, err := entry(packDir, a)
	if err != nil {
		return Command{}, err
	}
	if a.Runtime == Native {
		return native(file, function)
	}
	d, known := define(a.Runtime)
	found, here := s.found[a.Runtime]
	if !known || !here {
		return Command{}, fmt.Errorf("action %s: runtime %q: %w", a.Name, a.Runtime, ErrNoRuntime)
	}
	if a.Runtime == Shell {
		return s.shell(found, file, function, a.Variables)
	}
	args := d.program
	if function != "" {
		args = d.function
	}
	fill := strings.NewReplacer("{file}", file, "{function}", function, "{wrapper}", s.wrappers[d.wrapper])
	c := Command{Path: found.Path}
	for _, arg := range args {
		c.Args = append(c.Args, fill.Replace(arg))
	}
	return c, nil
}

func native(file, function string) (Command, error) {
	if function != "" {
		return Command{}, fmt.Errorf("%s: a native program has no function %q: %w", filepath.Base(file), function, ErrEntryPoint)
	}
	return Command{Path: file}, nil
}

// entry takes an entry point apart: a path from the pack's folder, and perhaps a function.
func entry(packDir string, a pack.Action) (file, function string, err error) {
	name, function, _ := strings.Cut(a.EntryPoint, ":")
	if !filepath.IsLocal(name) {
		return "", "", fmt.Errorf("action %s: %q is not inside the pack: %w", a.Name, name, ErrEntryPoint)
	}
	file = filepath.Join(packDir, name)
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return "", "", fmt.Errorf("action %s: %q is not a file of the pack: %w", a.Name, name, ErrEntryPoint)
	}
	return file, function, nil
}
