package environment

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/version"
	"github.com/attune/attune/streams"
)

// Runtimes is what a machine has; *runtime.Set is one.
type Runtimes interface {
	// Choose gives the newest interpreter whose version is in the range, or an error.
	Choose(name string, r version.Range) (runtime.Found, error)
	// Found lists all that there is.
	Found() []runtime.Found
}

// versions lists the versions of a runtime that a machine has.
func versions(have Runtimes, name string) []string {
	var all []string
	for _, f := range have.Found() {
		if f.Name == name {
			all = append(all, f.Version)
		}
	}
	return all
}

// interpreter is what a runtime's programs are started by, as it was when the environment was built.
type interpreter struct {
	runtime.Found
	File  string `json:"file,omitempty"` // what the path stood for: device, inode, size and time of change
	Built bool   `json:"built"`          // there is a folder below env/
}

// remember gives an interpreter as it is now.
func remember(f runtime.Found, built bool) interpreter {
	return interpreter{Found: f, File: identify(f.Path), Built: built}
}

// identify tells one program from every other that may take its place. A path that leads nowhere is "".
func identify(path string) string {
	if path == "" {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	inode := uint64(0)
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = s.Ino
	}
	return fmt.Sprintf("%d-%d-%d", inode, info.Size(), info.ModTime().UnixNano())
}

// same tells whether the interpreter is the very program that it was.
func (i interpreter) same() bool { return i.Path == "" || i.File != "" && identify(i.Path) == i.File }

// served tells whether the machine still has the interpreter, or one in its place of the same minor version.
func (i interpreter) served(have Runtimes) bool {
	return slices.ContainsFunc(have.Found(), func(f runtime.Found) bool {
		return f.Name == i.Name && minor(f.Version) == minor(i.Version) && (f.Path == i.Path || settled(f).Path == i.Path)
	})
}

// minor is the part of a version within which what was built goes on to work: "3.12" of "3.12.4".
func minor(v string) string {
	parts := strings.SplitN(v, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// settled gives an interpreter by the path that its own file has, so that what is built does not change with a
// symbolic link such as python3.
func settled(f runtime.Found) runtime.Found {
	if real, err := filepath.EvalSymlinks(f.Path); err == nil && f.Path != "" {
		f.Path = real
	}
	return f
}

// wants lists the runtimes of a pack with the ranges that it allows.
func wants(p pack.Pack) map[string]string {
	all := maps.Clone(p.Runtime)
	if all == nil {
		all = map[string]string{}
	}
	for _, a := range p.Actions {
		all[a.Runtime] = p.Runtime[a.Runtime]
	}
	for _, s := range p.Sensors {
		all[s.Runtime] = p.Runtime[s.Runtime]
	}
	return all
}

// chosen is which interpreters a pack runs with, and which it would need.
type chosen struct {
	found   []runtime.Found
	missing []streams.Missing
}

// choose picks the interpreters, in the order of their names.
func choose(have Runtimes, wants map[string]string) (chosen, error) {
	var c chosen
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		r, err := version.ParseRange(wants[name])
		if err != nil {
			return chosen{}, fmt.Errorf("runtime %s: %w", name, err)
		}
		f, err := have.Choose(name, r)
		switch {
		case errors.Is(err, runtime.ErrNoRuntime):
			c.missing = append(c.missing, streams.Missing{Runtime: name, Want: wants[name], Have: versions(have, name)})
		case err != nil:
			return chosen{}, fmt.Errorf("runtime %s: %w", name, err)
		default:
			c.found = append(c.found, f)
		}
	}
	return c, nil
}

// Lacks says in words what is missing of a runtime, or "" when m is of something else.
func Lacks(m streams.Missing) string {
	if m.Runtime == "" {
		return ""
	}
	here := "none of its versions is here"
	if len(m.Have) > 0 {
		here = "here: " + strings.Join(m.Have, ", ")
	}
	return fmt.Sprintf("runtime %s %s is not on this runner (%s)", m.Runtime, cmp.Or(m.Want, "(any version)"), here)
}
