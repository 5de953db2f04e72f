package pack

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// CheckOptions say what a check may take for granted.
type CheckOptions struct {
	Runtimes []string // names of those that runners have without further ado; empty: they are not checked
}

// Check reads a pack and tells everything that is wrong with it, with its tests, or likely not meant: mistakes,
// warnings and remarks, each with its code and what to do. The pack is whole when nothing of it is an error.
func Check(fsys fs.FS, o CheckOptions) (Pack, Mistakes) {
	l := newLoader(fsys)
	l.read()
	l.check()
	whole := len(l.mistakes) == 0
	w := &linter{loader: l, CheckOptions: o, tested: map[string]bool{}}
	w.tests()
	w.manifest()
	for _, name := range sortedNames(l.names[kindAction]) {
		if d := l.names[kindAction][name]; d != nil {
			w.action(name, d)
		}
	}
	w.others()
	w.packages()
	w.contents()
	found := append(l.mistakes, w.found...).sorted()
	for i, m := range found {
		if m.Hint == "" {
			found[i].Hint = explained[m.Code].hint
		}
	}
	if !whole {
		return Pack{}, found
	}
	return l.pack, found
}

// linter looks for what can be installed and is likely not meant.
type linter struct {
	*loader
	CheckOptions
	found  Mistakes
	tested map[string]bool // the actions that cases run; nil when that is not known
}

// tests finds the actions that are tested.
func (w *linter) tests() {
	before := len(w.mistakes)
	for _, f := range w.loadTests() {
		for _, c := range f.Cases {
			w.tested[c.Action] = true
		}
	}
	if len(w.mistakes) > before {
		w.tested = nil
	}
}

// say adds a finding about a value of a document.
func (w *linter) say(code Code, d *document, path []string, format string, args ...any) {
	before := w.mistakes
	w.mistakes = nil
	d.at(code, path, format, args...)
	w.found = append(w.found, w.mistakes...)
	w.mistakes = before
}

// remark adds a finding about a line of a file, or about all of it when the line is 0.
func (w *linter) remark(code Code, file string, line, column int, format string, args ...any) {
	w.found = append(w.found, Mistake{Code: code, File: file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)})
}

func (w *linter) manifest() {
	d := w.loader.manifest
	if d == nil {
		return
	}
	w.describe(d, "the pack")
	ranges, _ := d.get("runtime").(map[string]any)
	for _, name := range w.runtimes() {
		if _, given := ranges[name]; !given && (name == "python" || name == "node") {
			w.say(codeNoRange, d, []string{"runtime"}, "runtime: no range of versions for %s, which actions need", name)
		}
	}
	if _, ok := w.files["README.md"]; !ok {
		w.remark(codeNoReadme, FileName, 1, 1, "there is no README.md")
	}
}

// runtimes lists those that actions and sensors name.
func (w *linter) runtimes() []string {
	used := map[string]bool{}
	for _, k := range []kind{kindAction, kindSensor} {
		for _, d := range w.names[k] {
			if d != nil {
				name, _ := d.text("runtime")
				used[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(used))
}

func (w *linter) describe(d *document, what string) {
	if text, ok := d.text("description"); !ok || strings.TrimSpace(text) == "" {
		w.say(codeNoDescription, d, nil, "description: %s has none", what)
	}
}

func (w *linter) action(name string, d *document) {
	w.describe(d, "the action")
	w.runtime(d)
	w.entryPoint(d)
	if d.get("timeout") == nil {
		w.say(codeNoTimeout, d, nil, "timeout: the action has none, and may run for %s", brief(DefaultTimeout))
	}
	parameters, _ := d.get("parameters").(map[string]any)
	switch {
	case parameters == nil && d.get("parameters") == nil:
		w.say(codeNoParameters, d, nil, "parameters: not described; whatever is given is taken")
	case parameters["additionalProperties"] == nil && parameters["unevaluatedProperties"] == nil && parameters["$ref"] == nil:
		w.say(codeOpenParameters, d, []string{"parameters"}, "parameters: take names that are not described, such as misspelt ones")
	}
	properties, _ := parameters["properties"].(map[string]any)
	for _, p := range slices.Sorted(maps.Keys(properties)) {
		if property, _ := properties[p].(map[string]any); secretName.MatchString(p) && property["secret"] == nil {
			w.say(codeSecretParameter, d, []string{"parameters", "properties", p}, "parameters.%s: looks like a secret; parameters are recorded and shown", p)
		}
	}
	if w.tested != nil && !w.tested[name] {
		w.say(codeNoTest, d, nil, "no test runs the action")
	}
}

// secretName is what parameters are called that should be secrets.
var secretName = regexp.MustCompile(`(?i)^(.*[_-])?(password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|credentials?)$`)

func (w *linter) runtime(d *document) {
	name, ok := d.text("runtime")
	if ok && len(w.Runtimes) > 0 && !slices.Contains(w.Runtimes, name) {
		w.say(codeForeignRuntime, d, []string{"runtime"}, "runtime: %q is none that Attune brings (%s): runners need a definition of it", name, strings.Join(w.Runtimes, ", "))
	}
}

// others looks at triggers, sensors and rules.
func (w *linter) others() {
	used := map[string]bool{}
	for _, d := range w.names[kindRule] {
		if d != nil {
			text, _ := d.text("trigger")
			own := w.ownName()
			used[strings.TrimPrefix(text, own+".")] = true
		}
	}
	for _, name := range sortedNames(w.names[kindSensor]) {
		d := w.names[kindSensor][name]
		if d == nil {
			continue
		}
		w.describe(d, "the sensor")
		w.runtime(d)
		w.entryPoint(d)
		triggers, _ := d.get("triggers").([]any)
		for _, t := range triggers {
			text, _ := t.(string)
			used[text] = true
		}
	}
	w.triggers(used)
	for _, name := range sortedNames(w.names[kindRule]) {
		if d := w.names[kindRule][name]; d != nil {
			w.describe(d, "the rule")
		}
	}
}

// triggers looks at the triggers, of which rules and sensors use some.
func (w *linter) triggers(used map[string]bool) {
	for _, name := range sortedNames(w.names[kindTrigger]) {
		d := w.names[kindTrigger][name]
		if d == nil {
			continue
		}
		w.describe(d, "the trigger")
		if !used[name] && d.get("webhook") == nil && d.get("timer") == nil {
			w.say(codeUnusedTrigger, d, nil, "nothing of this pack uses the trigger: no rule, no sensor, no webhook, no timer")
		}
		if d.get("payload") == nil && d.get("timer") == nil {
			w.say(codeNoPayload, d, nil, "payload: not described; rules cannot be checked against it")
		}
	}
}
