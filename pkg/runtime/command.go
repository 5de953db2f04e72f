package runtime

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/version"
)

// ErrEntryPoint is returned when an action's entry point cannot be started.
var ErrEntryPoint = errors.New("entry point is not usable")

// Location is where a pack is on this machine, and what its programs of one runtime run with.
type Location struct {
	Pack        string // folder of the pack
	Env         string // folder of what was built for the runtime; "" when nothing was
	Interpreter Found  // the zero value: the newest there is
}

// Command is how the program of an action is started. It is the same for all its executions.
type Command struct {
	Path      string
	Args      []string
	Folders   []string // before those of PATH
	Env       []string // beside what every program has
	Variables bool     // file descriptor 3 is to give the shell variables; see Variables
	Spare     []string // arguments in the place of Args, of a process that waits for its input; nil: it cannot

	container *container // nil: it runs in none
}

// Contained tells whether it runs in a container, whose engine isolates it.
func (c Command) Contained() bool { return c.container != nil }

// Command tells how to start an action.
func (s *Set) Command(at Location, a pack.Action) (Command, error) {
	c, err := s.command(at, a)
	if err != nil {
		return Command{}, fmt.Errorf("action %s: %w", a.Name, err)
	}
	return c, nil
}

func (s *Set) command(at Location, a pack.Action) (c Command, err error) {
	d, known := s.Definition(a.Runtime)
	if at.Interpreter.Name == "" || !known {
		if at.Interpreter, err = s.Choose(a.Runtime, version.Range{}); err != nil {
			return Command{}, err
		}
	}
	if at.Interpreter.Name != a.Runtime {
		return Command{}, fmt.Errorf("runtime %q: %w: it was given %s", a.Runtime, ErrNoRuntime, at.Interpreter.Name)
	}
	if d.Name == Container {
		return s.containerCommand(at, a)
	}
	e, err := entry(at.Pack, a)
	switch {
	case err != nil:
		return Command{}, err
	case e.function != "" && len(d.Run.Function) == 0:
		return Command{}, fmt.Errorf("%s: runtime %s has no functions, and %q would be one: %w", e.name, d.Name, e.function, ErrEntryPoint)
	case d.Name == Native:
		return Command{Path: e.file}, nil
	case d.Name == Shell:
		return s.shell(at.Interpreter, e.file, a.Variables)
	}
	return s.launch(d, at, e), nil
}

// launch fills in what the definition says.
func (s *Set) launch(d Definition, at Location, e entryPoint) Command {
	fill := strings.NewReplacer("{pack}", at.Pack, "{env}", at.Env, "{interpreter}", at.Interpreter.Path, "{bin}", filepath.Dir(at.Interpreter.Path),
		"{file}", e.file, "{function}", e.function, "{wrapper}", s.wrappers[d.Name])
	holds := func(text string) bool { return at.Env != "" || !strings.Contains(text, "{env}") }
	c := Command{Path: at.Interpreter.Path}
	if d.Run.Interpreter != "" && holds(d.Run.Interpreter) {
		c.Path = fill.Replace(d.Run.Interpreter)
	}
	filled := func(args []string) (all []string) {
		if at.Env != "" {
			args = slices.Concat(d.Run.Built, args)
		}
		for _, arg := range args {
			all = append(all, fill.Replace(arg))
		}
		return all
	}
	if e.function == "" {
		c.Args = filled(d.Run.Program)
	} else {
		c.Args = filled(d.Run.Function)
	}
	if e.function != "" && len(d.Run.Spare) > 0 {
		c.Spare = filled(d.Run.Spare)
	}
	for _, dir := range d.Run.Path {
		if holds(dir) {
			c.Folders = append(c.Folders, fill.Replace(dir))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Run.Env)) {
		if text := d.Run.Env[name]; holds(text) {
			c.Env = append(c.Env, name+"="+fill.Replace(text))
		}
	}
	return c
}

// entryPoint is a file, and perhaps a function in it.
type entryPoint struct {
	name     string // as the action gives it
	file     string
	function string
}

// entry takes an entry point apart: a path from the pack's folder, and perhaps a function.
func entry(packDir string, a pack.Action) (e entryPoint, err error) {
	e.name, e.function, _ = strings.Cut(a.EntryPoint, ":")
	if !filepath.IsLocal(e.name) {
		return e, fmt.Errorf("%q is not inside the pack: %w", e.name, ErrEntryPoint)
	}
	e.file = filepath.Join(packDir, e.name)
	if info, err := os.Stat(e.file); err != nil || !info.Mode().IsRegular() {
		return e, fmt.Errorf("%q is not a file of the pack: %w", e.name, ErrEntryPoint)
	}
	return e, nil
}
