// Package skeleton makes packs to begin with.
//
// It guarantees that what it makes has no mistakes and passes its own tests, in every language it knows.
package skeleton

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/attune/attune/pkg/pack"
)

//go:embed all:templates
var templates embed.FS

// ErrExists is returned when there is something already where the pack would be.
var ErrExists = errors.New("there is something already")

// Config says what to make.
type Config struct {
	Name     string
	Language string
	Dir      string // is made; it may be there when it is empty
}

// language is what differs between languages.
type language struct {
	Runtime    string
	Range      string // of the runtime's versions; "": none is named
	EntryPoint string
	programs   []string // files that are executable
	build      []string // a command that makes what the entry point names; nil: nothing is to be made
}

var languages = map[string]language{
	"python":    {Runtime: "python", Range: ">=3.6", EntryPoint: "actions/greet.py:greet"},
	"node":      {Runtime: "node", Range: ">=18", EntryPoint: "actions/greet.mjs:greet"},
	"shell":     {Runtime: "shell", EntryPoint: "actions/greet.sh", programs: []string{"actions/greet.sh"}},
	"ruby":      {Runtime: "ruby", Range: ">=2.5", EntryPoint: "actions/greet.rb"},
	"native-go": {Runtime: "native", EntryPoint: "actions/greet", programs: []string{"build.sh"}, build: []string{"sh", "build.sh"}},
}

// Languages lists what skeletons can be written in.
func Languages() []string { return slices.Sorted(maps.Keys(languages)) }

// Make writes a pack and gives the names of its files.
func Make(ctx context.Context, c Config) ([]string, error) {
	l, known := languages[c.Language]
	switch {
	case !pack.ValidName(c.Name):
		return nil, fmt.Errorf("name %q: use lower-case letters, digits, - and _, beginning with a letter", c.Name)
	case !known:
		return nil, fmt.Errorf("language %q: want one of %s", c.Language, strings.Join(Languages(), ", "))
	}
	if found, err := os.ReadDir(c.Dir); err == nil && len(found) > 0 {
		return nil, fmt.Errorf("%s: %w", c.Dir, ErrExists)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create pack: %w", err)
	}
	m := &maker{Config: c, language: l}
	for _, from := range []string{"common", c.Language} {
		if err := m.fill(from); err != nil {
			return nil, fmt.Errorf("create pack: %w", err)
		}
	}
	if err := m.schemas(); err != nil {
		return nil, fmt.Errorf("create pack: %w", err)
	}
	if len(l.build) > 0 {
		if err := m.make(ctx); err != nil {
			return nil, err
		}
	}
	slices.Sort(m.made)
	return m.made, nil
}

// maker writes one pack. Templates see its fields.
type maker struct {
	Config
	language
	made []string
}

// fill writes the files of a folder of templates.
func (m *maker) fill(from string) error {
	root := path.Join("templates", from)
	return fs.WalkDir(templates, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		t, err := template.New(name).Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var out strings.Builder
		if err := t.Execute(&out, m); err != nil {
			return err
		}
		return m.write(strings.TrimSuffix(strings.TrimPrefix(name, root+"/"), ".tmpl"), []byte(out.String()))
	})
}

// schemas puts the schemas beside the pack's files, where their first lines tell editors to look.
func (m *maker) schemas() error {
	names, err := fs.Glob(pack.Schemas(), "*.json")
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := fs.ReadFile(pack.Schemas(), name)
		if err == nil {
			err = m.write(path.Join(pack.SchemaFolder, name), data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *maker) write(name string, content []byte) error {
	file := filepath.Join(m.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if slices.Contains(m.programs, name) {
		mode = 0o755
	}
	m.made = append(m.made, name)
	return os.WriteFile(file, content, mode)
}

// make builds what is not written by hand.
func (m *maker) make(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, m.build[0], m.build[1:]...) //nolint:gosec // of the table above
	cmd.Dir = m.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the pack is in %s, and its program could not be built (%s): %w\n%s", m.Dir, strings.Join(m.build, " "), err, strings.TrimSpace(string(out)))
	}
	m.made = append(m.made, m.EntryPoint)
	return nil
}
