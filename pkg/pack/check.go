package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/version"
)

// decodeExact is json.Unmarshal with exact numbers. The document has been checked before.
func decodeExact(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}

var (
	semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
		`(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
	function = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

func (l *loader) checkManifest(d *document) {
	if v, ok := d.text("version"); ok && !semver.MatchString(v) {
		d.at(codeVersion, []string{"version"}, "version: %q is not a semantic version such as 1.0.0", v)
	}
	ranges, _ := d.get("runtime").(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(ranges)) {
		text, _ := ranges[name].(string) // what is no text is the schema's to report
		if _, err := version.ParseRange(text); err != nil {
			d.at(codeRange, []string{"runtime", name}, "runtime.%s: %v", name, err)
		}
	}
	d.checkSchema("config", true)
	d.fits(kindPack, &l.pack)
}

// checkSchema checks that the value of a top-level key is a JSON Schema; object: of an object. It gives nil where it
// is none.
func (d *document) checkSchema(key string, object bool) *schema.Schema {
	tree, ok := d.get(key).(map[string]any)
	if !ok {
		return nil
	}
	if kind, given := tree["type"]; object && given && kind != "object" {
		d.at(codeSchema, []string{key, "type"}, "%s.type: must be object", key)
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if _, nested := tree[name].(map[string]any); nested && !keywords[name] {
			d.at(codeSchema, []string{key, name}, "%s: %q is no keyword of JSON Schema; did you mean it to be under properties?", key, name)
		}
	}
	compiled, err := schema.CompileValue(tree)
	d.schemaFaults(key, err)
	if compiled.ShowsSecret() {
		d.at(codeClearSecret, []string{key}, "%s: a value that is secret has a default, which everybody can read; leave it out", key)
	}
	return compiled
}

// keywords are those of JSON Schema whose value can be an object.
var keywords = map[string]bool{
	"$defs": true, "definitions": true, "properties": true, "patternProperties": true, "additionalProperties": true,
	"propertyNames": true, "dependentSchemas": true, "dependentRequired": true, "dependencies": true, "items": true,
	"additionalItems": true, "contains": true, "not": true, "if": true, "then": true, "else": true, "default": true,
	"const": true, "unevaluatedProperties": true, "unevaluatedItems": true, "contentSchema": true, "$vocabulary": true,
}

func (d *document) schemaFaults(key string, err error) {
	var faults schema.Faults
	switch {
	case err == nil:
	case errors.As(err, &faults):
		for _, f := range faults {
			if at := append([]string{key}, f.Path...); !d.broken[pointer(at)] {
				d.at(codeSchema, at, "%s: %s", strings.Join(at, "."), f.Message)
			}
		}
	default:
		d.at(codeSchema, []string{key}, "%s: %v", key, err)
	}
}

// checkDuration checks a text such as "90s" that must lie within bounds.
func (d *document) checkDuration(least, most time.Duration, path ...string) {
	text, ok := d.text(path...)
	if !ok {
		return
	}
	v, err := time.ParseDuration(text)
	name := strings.Join(path, ".")
	switch {
	case err != nil:
		d.at(codeDuration, path, "%s: %q is not a duration such as 90s, 5m or 1h30m", name, text)
	case v < least || v > most:
		d.at(codeDuration, path, "%s: must be between %s and %s%s", name, least, most, d.not(path))
	}
}

// checkEntryPoint checks the file (and function) that an action or sensor starts, and makes its path one from
// the pack's folder. A file is looked for there first, then beside the YAML file.
func (d *document) checkEntryPoint() {
	text, ok := d.text("entry_point")
	if !ok || text == "" {
		return
	}
	name, fn, hasFn := strings.Cut(text, ":")
	runtime, _ := d.text("runtime")
	complain := func(code Code, format string, args ...any) {
		d.at(code, []string{"entry_point"}, "entry_point: "+format, args...)
	}
	if hasFn {
		checkFunction(runtime, name, fn, complain)
	}
	if runtime == "container" && path.IsAbs(name) && path.Clean(name) == name {
		return // a program of the image, which nobody here can see
	}
	found, why := d.find(name)
	switch {
	case why != "" && runtime == "native" && d.loader.builds() && fs.ValidPath(name):
		// The build makes it. Until then nobody can see whether it does.
	case why != "":
		complain(codeEntryPoint, "%s", why)
	case (runtime == "native" || runtime == "container") && !found.executable:
		complain(codeNotExecutable, "%s is not executable", found.name)
	default:
		d.set("entry_point", found.name+strings.TrimPrefix(text, name))
	}
}

// builds tells whether the pack's Makefile has a target that makes programs.
func (l *loader) builds() bool {
	if f, ok := l.files["Makefile"]; !ok || f.size > maxYAML {
		return false
	}
	text, err := fs.ReadFile(l.fsys, "Makefile")
	return err == nil && buildTarget.Match(text)
}

var buildTarget = regexp.MustCompile(`(?m)^build\s*:`)

// functions are the extensions of files with functions, by the runtimes that Attune brings. What is not listed is an
// operator's, and decided where it is started.
var functions = map[string][]string{
	"python": {".py"}, "ruby": {".rb"}, "node": {".js", ".mjs", ".cjs"},
	"bun":   {".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"},
	"shell": nil, "native": nil, "container": nil, "perl": nil, "php": nil, "deno": nil,
}

func checkFunction(runtime, name, fn string, complain func(Code, string, ...any)) {
	extensions, known := functions[runtime]
	switch {
	case !function.MatchString(fn):
		complain(codeFunction, "%q is not the name of a function (write file.py:function)", fn)
	case !known:
	case extensions == nil:
		complain(codeFunction, "runtime %s has no functions: name a file only", runtime)
	case !slices.Contains(extensions, path.Ext(name)):
		complain(codeFunction, "a function of runtime %s must be in a file named *%s", runtime, strings.Join(extensions, ", *"))
	}
}

// find gives the file that an entry point names, or why there is none.
func (d *document) find(name string) (found file, why string) {
	switch {
	case path.IsAbs(name) || !fs.ValidPath(path.Clean(name)) || strings.ContainsRune(name, '\\'):
		return file{}, fmt.Sprintf("%q must be a path within the pack", name)
	case name != path.Clean(name):
		return file{}, fmt.Sprintf("%q: write it as %q", name, path.Clean(name))
	}
	for _, candidate := range []string{name, path.Join(path.Dir(d.file), name)} {
		if f, ok := d.loader.files[candidate]; ok {
			return f, ""
		}
	}
	for other := range d.loader.files {
		if strings.HasPrefix(other, name+"/") {
			return file{}, fmt.Sprintf("%q is a folder", name)
		}
	}
	return file{}, fmt.Sprintf("there is no file %q in the pack", name)
}

// checkCEL places the mistakes of an expression that stands in the scalar at path.
func (d *document) checkCEL(path []string, err error) {
	var mistakes expression.Mistakes
	if !errors.As(err, &mistakes) {
		if err != nil {
			d.at(codeExpression, path, "%v", err)
		}
		return
	}
	node := d.places[pointer(path)].value
	for _, m := range mistakes {
		line, column := d.within(node, m.Line, m.Column)
		d.complain(codeExpression, line, column, "%s: %s", strings.Join(path, "."), m.Message)
	}
}

// within gives the place in the file of a line and column in a scalar's text.
func (d *document) within(n *yaml.Node, line, column int) (int, int) {
	switch {
	case n.Style&yaml.LiteralStyle != 0 && n.Line+line <= len(d.lines):
		return n.Line + line, d.indent(n.Line) + column
	case n.Style&(yaml.FoldedStyle|yaml.LiteralStyle) != 0 || line > 1:
		return n.Line, n.Column
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		return n.Line, n.Column + column
	default:
		return n.Line, n.Column + column - 1
	}
}

// indent gives the indentation of the block that starts after a line: that of its first line with text.
func (d *document) indent(after int) int {
	for _, text := range d.lines[after:] {
		if trimmed := strings.TrimLeft(text, " "); strings.TrimSpace(trimmed) != "" {
			return len(text) - len(trimmed)
		}
	}
	return 0
}
