package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// placeholder is what stands for something else in a text: {env}, {option:pip_index_url}.
var placeholder = regexp.MustCompile(`\{[A-Za-z][A-Za-z0-9_:-]*\}`)

// Those that are known where a pack is built, and those where a program is started.
var (
	whileBuilding = []string{"{pack}", "{env}", "{interpreter}", "{bin}"}
	whileRunning  = []string{"{pack}", "{env}", "{interpreter}", "{bin}", "{file}", "{function}", "{wrapper}"}
)

var (
	optionName = regexp.MustCompile(`^\{option:[a-z][a-z0-9_]*\}$`)
	condition  = regexp.MustCompile(`^(file|hashes|tool|option):[^:]+$|^match:[^:]+:.+$`)
	envName    = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// checker collects what is wrong with a definition, with the lines where it stands.
type checker struct {
	file   string
	lines  [][]byte
	faults []error
}

// check finds what would only show when a pack is built or a program is started.
func (d Definition) check(file string, text []byte) error {
	c := &checker{file: file, lines: bytes.Split(text, []byte("\n"))}
	for _, pattern := range slices.Concat(d.Detect.Programs, d.Detect.Folders) {
		if _, err := path.Match(pattern, ""); err != nil {
			c.complain(pattern, "%q is not a pattern of file names", pattern)
		}
	}
	for _, folder := range d.Detect.Folders {
		if !filepath.IsAbs(folder) && !strings.HasPrefix(folder, "~/") {
			c.complain(folder, "detect.folders: %q: write a path from / or ~/", folder)
		}
	}
	if len(d.Detect.Programs) > 0 && len(d.Detect.Ask) == 0 {
		c.complain("detect:", "detect.ask: say with which arguments a program tells its version")
	}
	c.checkBuild(d.Build)
	c.checkLaunch(d)
	return errors.Join(c.faults...)
}

// complain reports a fault at the first line that has the text.
func (c *checker) complain(near, format string, args ...any) {
	line := 1 + slices.IndexFunc(c.lines, func(l []byte) bool { return bytes.Contains(l, []byte(near)) })
	c.faults = append(c.faults, fmt.Errorf("%s:%d: %w: %s", c.file, max(line, 1), ErrDefinition, fmt.Sprintf(format, args...)))
}

func (c *checker) checkBuild(steps []Step) {
	for _, s := range steps {
		if s.Name == "" || len(s.Run) == 0 {
			c.complain("build:", "build: every step has a name and a command to run")
		}
		c.checkConditions(s.If, s.Unless)
		c.checkTexts(whileBuilding, s.Run)
		c.checkEnv(whileBuilding, s.Env)
		for _, e := range s.With {
			c.checkConditions(e.If, e.Unless)
			c.checkTexts(whileBuilding, e.Add)
		}
	}
}

func (c *checker) checkConditions(sets ...[]string) {
	for _, text := range slices.Concat(sets...) {
		if !condition.MatchString(text) {
			c.complain(text, "%q is not a condition: write file:NAME, match:NAME:PATTERN, hashes:NAME, tool:NAME or option:NAME", text)
		}
		if _, pattern, ok := matchOf(text); ok {
			if _, err := regexp.Compile(pattern); err != nil {
				c.complain(text, "%q: %v", text, err)
			}
		}
	}
}

func (c *checker) checkTexts(known, texts []string) {
	for _, text := range texts {
		for _, p := range placeholder.FindAllString(text, -1) {
			if !slices.Contains(known, p) && !optionName.MatchString(p) {
				c.complain(p, "%s is not known here: there are %s and {option:NAME}", p, strings.Join(known, ", "))
			}
		}
	}
}

func (c *checker) checkEnv(known []string, env map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		c.checkTexts(known, []string{env[name]})
		if !envName.MatchString(name) || slices.Contains(ownEnv, name) || strings.HasPrefix(name, "ATTUNE_") {
			c.complain(name, "env: %q cannot be set by a definition", name)
		}
	}
}

func (c *checker) checkLaunch(d Definition) {
	r := d.Run
	c.checkTexts(whileRunning, slices.Concat([]string{r.Interpreter}, r.Program, r.Function, r.Spare, r.Built, r.Path))
	c.checkEnv(whileRunning, r.Env)
	if len(r.Program) == 0 && len(d.Detect.Programs) > 0 && d.Name != Container {
		c.complain("run:", "run.program: say with which arguments a program is run")
	}
	if r.Wrapper != "" && !slices.Contains(r.Function, "{wrapper}") {
		c.complain(r.Wrapper, "run.wrapper: %s is not used: run.function has no {wrapper}", r.Wrapper)
	}
	if len(r.Spare) > 0 && len(r.Function) == 0 {
		c.complain("spare:", "run.spare: only functions can wait for their input; say run.function as well")
	}
	if slices.Contains(slices.Concat(r.Program, r.Function, r.Spare), "{wrapper}") && r.Wrapper == "" {
		c.complain("{wrapper}", "run.wrapper: name the file that {wrapper} stands for")
	}
	if _, err := fs.Stat(d.folder, r.Wrapper); r.Wrapper != "" && err != nil {
		c.complain(r.Wrapper, "run.wrapper: %v", err)
	}
}
