package runtime

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Site is where a pack is built, and with what.
type Site struct {
	Pack        string // its folder
	Env         string // the folder for what is built
	Interpreter Found
	Path        string            // where tools are looked for after the interpreter's own folder
	Options     map[string]string // what the operator set: pip_index_url, npm_registry, ...
}

// Task is a command of a build, ready to be started in the pack's folder.
type Task struct {
	Name string
	Path string // absolute, or the name of a tool that is not there
	Args []string
	Env  []string // beside what every build has; PATH is among them
}

// Tasks gives what builds a pack, in order. There are none where the pack asks for nothing to be built.
func (d Definition) Tasks(at Site) ([]Task, error) {
	if !at.needed(d.Needs) {
		return nil, nil
	}
	var tasks []Task
	for _, s := range d.Build {
		apply, err := at.hold(s.If, s.Unless)
		if err != nil {
			return nil, fmt.Errorf("build step %q of runtime %s: %w", s.Name, d.Name, err)
		}
		if !apply {
			continue
		}
		t, err := at.task(s)
		if err != nil {
			return nil, fmt.Errorf("build step %q of runtime %s: %w", s.Name, d.Name, err)
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func (at Site) needed(files []string) bool {
	return len(files) == 0 || slices.ContainsFunc(files, at.has)
}

func (at Site) has(name string) bool {
	info, err := os.Stat(filepath.Join(at.Pack, name))
	return filepath.IsLocal(name) && err == nil && info.Mode().IsRegular()
}

func (at Site) task(s Step) (Task, error) {
	words := slices.Clone(s.Run)
	for _, e := range s.With {
		apply, err := at.hold(e.If, e.Unless)
		if err != nil {
			return Task{}, err
		}
		if apply {
			words = append(words, e.Add...)
		}
	}
	fill := at.filler()
	for i := range words {
		words[i] = fill(words[i])
	}
	t := Task{Name: s.Name, Path: words[0], Args: words[1:], Env: []string{"PATH=" + at.toolPath()}}
	if files := lookUp(at.toolPath(), t.Path); !filepath.IsAbs(t.Path) && len(files) > 0 {
		t.Path = files[0]
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		t.Env = append(t.Env, name+"="+fill(s.Env[name]))
	}
	return t, nil
}

// toolPath is PATH with the interpreter's folder first: npm stands beside node.
func (at Site) toolPath() string {
	if at.Interpreter.Path == "" {
		return at.Path
	}
	return before(at.Path, filepath.Dir(at.Interpreter.Path))
}

func (at Site) filler() func(string) string {
	pairs := []string{"{pack}", at.Pack, "{env}", at.Env, "{interpreter}", at.Interpreter.Path, "{bin}", filepath.Dir(at.Interpreter.Path)}
	known := strings.NewReplacer(pairs...)
	return func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(p string) string {
			if name, ok := strings.CutPrefix(p, "{option:"); ok {
				return at.Options[strings.TrimSuffix(name, "}")]
			}
			return known.Replace(p)
		})
	}
}

// hold tells whether all of one set of conditions hold and none of another.
func (at Site) hold(all, none []string) (bool, error) {
	for _, text := range all {
		if ok, err := at.holds(text); !ok || err != nil {
			return false, err
		}
	}
	for _, text := range none {
		if ok, err := at.holds(text); ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (at Site) holds(text string) (bool, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch kind {
	case "file":
		return at.has(name), nil
	case "tool":
		return len(lookUp(at.toolPath(), name)) > 0, nil
	case "option":
		return at.Options[name] != "", nil
	case "hashes":
		return at.matches(name, `(^|\s)--hash[= ]`)
	}
	name, pattern, ok := matchOf(text)
	if !ok {
		return false, fmt.Errorf("%w: %q is not a condition", ErrDefinition, text)
	}
	return at.matches(name, pattern)
}

func matchOf(text string) (name, pattern string, ok bool) {
	rest, ok := strings.CutPrefix(text, "match:")
	name, pattern, _ = strings.Cut(rest, ":")
	return name, pattern, ok
}

// matches tells whether a line of a file of the pack matches.
func (at Site) matches(name, pattern string) (bool, error) {
	if !at.has(name) {
		return false, nil
	}
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrDefinition, err)
	}
	text, err := os.ReadFile(filepath.Join(at.Pack, name))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	return re.Match(text), nil
}
