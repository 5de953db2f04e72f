package runtime

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Names of the runtimes that need more than data: what their command is depends on the script, or on where it runs.
const (
	Shell     = "shell"
	Native    = "native"
	Container = "container"
)

// Names of runtimes that other packages speak of.
const (
	Python = "python"
	Node   = "node"
)

// ErrDefinition is returned when the file of a runtime's definition is not usable.
var ErrDefinition = errors.New("definition of a runtime is not usable")

// Definition is what there is to know of a runtime. It is a file NAME.yaml.
//
// In commands, {pack} stands for the folder of the pack, {env} for that of what was built for it, {interpreter} for the
// interpreter that was found, {bin} for its folder, {file} and {function} for the entry point, {wrapper} for the file that
// calls functions and {option:NAME} for what the operator set.
type Definition struct {
	Name        string   `yaml:"-"`
	Description string   `yaml:"description"`
	Detect      Question `yaml:"detect"`
	Needs       []string `yaml:"needs"` // files of the pack of which one must be there for Build to apply; empty: always
	Build       []Step   `yaml:"build"` // empty: nothing to build
	Run         Launch   `yaml:"run"`

	folder fs.FS // where the wrapper is
}

// Question is how interpreters are found. Without programs the runtime needs none, and is there always.
type Question struct {
	Programs []string `yaml:"programs"` // names or patterns of names, the best first
	Folders  []string `yaml:"folders"`  // patterns of folders to look in besides those of PATH; ~ is the home folder
	Ask      []string `yaml:"ask"`      // arguments that make it print its version and perhaps, on a second line, its own path
}

// Step is one command of a build. It is run when all of If hold and none of Unless does.
//
// Conditions are file:NAME (the pack has it), match:NAME:PATTERN (a line of that file matches), hashes:NAME (that file of
// requirements has hashes), tool:NAME (a program beside the interpreter or on PATH) and option:NAME (the operator set it).
type Step struct {
	Name   string            `yaml:"name"`
	If     []string          `yaml:"if"`
	Unless []string          `yaml:"unless"`
	Run    []string          `yaml:"run"`
	With   []Extra           `yaml:"with"`
	Env    map[string]string `yaml:"env"` // beside what every build has
}

// Extra is arguments that a step has under conditions.
type Extra struct {
	If     []string `yaml:"if"`
	Unless []string `yaml:"unless"`
	Add    []string `yaml:"add"`
}

// Launch is how programs are started. What mentions {env} holds only where something was built.
type Launch struct {
	Interpreter string            `yaml:"interpreter"` // "": the one that was found
	Program     []string          `yaml:"program"`     // arguments that run a program
	Function    []string          `yaml:"function"`    // arguments that call a function; empty: there are none
	Spare       []string          `yaml:"spare"`       // arguments that load a function and wait for the input, as process.Launcher.Start has it; empty: that cannot be
	Wrapper     string            `yaml:"wrapper"`     // file beside the definition
	Built       []string          `yaml:"built"`       // arguments before the others where something was built
	Path        []string          `yaml:"path"`        // folders before those of PATH
	Env         map[string]string `yaml:"env"`         // beside what every program has
}

//go:embed runtimes
var embedded embed.FS

// Definitions reads the runtimes that Attune brings and then those of the folders. One that is there twice is as the last
// folder says. All mistakes are reported, with file and line.
func Definitions(dirs ...string) ([]Definition, error) {
	own, err := fs.Sub(embedded, "runtimes")
	if err != nil {
		return nil, fmt.Errorf("embedded runtimes: %w", err)
	}
	defs, errs := readFolder(nil, "runtimes", own)
	for _, dir := range dirs {
		var err error
		defs, err = readFolder(defs, dir, os.DirFS(dir))
		errs = errors.Join(errs, err)
	}
	slices.SortFunc(defs, func(a, b Definition) int { return cmp.Compare(a.Name, b.Name) })
	return defs, errs
}

// Define gives the definition with a name.
func Define(defs []Definition, name string) (Definition, bool) {
	i := slices.IndexFunc(defs, func(d Definition) bool { return d.Name == name })
	if i < 0 {
		return Definition{}, false
	}
	return defs[i], true
}

func readFolder(defs []Definition, dir string, folder fs.FS) ([]Definition, error) {
	files, err := fs.ReadDir(folder, ".")
	if err != nil {
		return defs, fmt.Errorf("folder of runtimes %s: %w", dir, err)
	}
	var errs []error
	for _, f := range files {
		name, isDefinition := strings.CutSuffix(f.Name(), ".yaml")
		if !isDefinition || strings.HasPrefix(name, ".") {
			continue
		}
		d, err := readDefinition(folder, dir, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defs = append(slices.DeleteFunc(defs, func(other Definition) bool { return other.Name == name }), d)
	}
	return defs, errors.Join(errs...)
}

// maxDefinition bounds the file of a definition, in bytes.
const maxDefinition = 64 << 10

var runtimeName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

func readDefinition(folder fs.FS, dir, name string) (Definition, error) {
	file := filepath.Join(dir, name+".yaml")
	if !runtimeName.MatchString(name) {
		return Definition{}, fmt.Errorf("%s: %w: %q is not a name of lower-case letters, digits, - and _", file, ErrDefinition, name)
	}
	text, err := fs.ReadFile(folder, name+".yaml")
	if err != nil {
		return Definition{}, fmt.Errorf("%s: %w: %w", file, ErrDefinition, err)
	}
	if len(text) > maxDefinition {
		return Definition{}, fmt.Errorf("%s: %w: larger than %d bytes", file, ErrDefinition, maxDefinition)
	}
	d := Definition{Name: name, folder: folder}
	if err := yaml.Load(text, &d, yaml.WithKnownFields()); err != nil {
		return Definition{}, yamlFaults(file, err)
	}
	return d, d.check(file, text)
}

// yamlFaults gives what the YAML library complains of with file and line.
func yamlFaults(file string, err error) error {
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &many):
		errs := make([]error, len(many.Errors))
		for i, e := range many.Errors {
			errs[i] = fmt.Errorf("%s:%d: %w: %s", file, e.Mark.Line, ErrDefinition, e.Message)
		}
		return errors.Join(errs...)
	case errors.As(err, &one):
		return fmt.Errorf("%s:%d: %w: %s", file, one.Mark.Line, ErrDefinition, one.Message)
	}
	return fmt.Errorf("%s: %w: %w", file, ErrDefinition, err)
}
