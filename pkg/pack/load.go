package pack

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/attune/attune/pkg/schema"
)

// Load reads a pack's folder and checks all of it. An error about the content is of type Mistakes and holds
// every mistake. What refers to other packs is not checked here but when the pack is installed. Entry points
// in the result are paths from the pack's folder.
func Load(dir string) (Pack, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Pack{}, fmt.Errorf("load pack: %w", err)
	}
	defer root.Close()
	return LoadFS(root.FS())
}

// LoadFS is Load for a file system.
func LoadFS(fsys fs.FS) (Pack, error) {
	l := newLoader(fsys)
	l.read()
	l.check()
	if err := l.mistakes.err(); err != nil {
		return Pack{}, err
	}
	return l.pack, nil
}

// newLoader lists a pack's files.
func newLoader(fsys fs.FS) *loader {
	l := &loader{fsys: fsys, files: map[string]file{}, names: map[kind]map[string]*document{}, left: maxDefinitions}
	found, mistakes := scan(fsys, DefaultLimits())
	l.mistakes = mistakes
	for _, f := range found {
		l.files[f.name] = f
	}
	return l
}

// maxDefinitions bounds the YAML files of a pack together, in bytes.
const maxDefinitions = 4 << 20

// kind is a kind of file; its value is the name of its schema.
type kind string

const (
	kindPack    kind = "pack"
	kindAction  kind = "action"
	kindTrigger kind = "trigger"
	kindSensor  kind = "sensor"
	kindRule    kind = "rule"
	kindTest    kind = "test"
)

// folders is where the files of each kind are, in the order in which they are read.
var folders = []struct {
	kind   kind
	folder string
}{{kindAction, "actions"}, {kindTrigger, "triggers"}, {kindSensor, "sensors"}, {kindRule, "rules"}}

// loader gathers a pack and the mistakes in it.
type loader struct {
	fsys     fs.FS
	files    map[string]file
	manifest *document
	names    map[kind]map[string]*document // what the pack declares; nil for a file that cannot be read
	left     int64                         // bytes of YAML that may still be read
	mistakes Mistakes
	pack     Pack
}

func (l *loader) complain(code Code, file, format string, args ...any) {
	l.mistakes = append(l.mistakes, Mistake{Code: code, File: file, Message: fmt.Sprintf(format, args...)})
}

// read parses every file before any is checked, so that checks can look across files.
func (l *loader) read() {
	if _, ok := l.files[FileName]; !ok {
		l.complain(codeNoPack, FileName, "missing: a pack needs one")
	} else {
		l.manifest = l.readFile(FileName)
	}
	for _, f := range folders {
		l.names[f.kind] = map[string]*document{}
		for _, name := range l.yamlFiles(f.folder) {
			l.declare(f.kind, name)
		}
	}
}

func (l *loader) yamlFiles(folder string) []string {
	var names []string
	for name := range l.files {
		if ext := path.Ext(name); path.Dir(name) == folder && (ext == ".yaml" || ext == ".yml") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (l *loader) declare(k kind, file string) {
	name := strings.TrimSuffix(path.Base(file), path.Ext(file))
	if !ValidName(name) {
		l.complain(codeName, file, "the name %q is not allowed: it must match %s", name, namePattern)
	}
	if _, twice := l.names[k][name]; twice {
		l.complain(codeTwice, file, "%s %q is there twice", k, name)
		return
	}
	l.names[k][name] = l.readFile(file)
}

func (l *loader) readFile(name string) *document {
	if l.files[name].size > maxYAML {
		l.mistakes = append(l.mistakes, Mistake{
			Code: codeTooLarge, File: name, Line: 1, Column: 1, Message: fmt.Sprintf("larger than %d bytes", maxYAML),
		})
		return nil
	}
	if l.left -= l.files[name].size; l.left < 0 {
		l.complain(codeTooLarge, "", "the YAML files of the pack are larger than %d bytes together", maxDefinitions)
		return nil
	}
	data, err := fs.ReadFile(l.fsys, name)
	if err != nil {
		l.complain(codeUnreadable, name, "%v", err)
		return nil
	}
	return l.parse(name, data)
}

func (l *loader) check() {
	if l.manifest != nil {
		l.checkManifest(l.manifest)
	}
	for _, f := range folders {
		for _, name := range sortedNames(l.names[f.kind]) {
			if d := l.names[f.kind][name]; d != nil {
				l.checkOne(f.kind, name, d)
			}
		}
	}
	l.checkRequirements()
	l.checkNodePackages()
}

func sortedNames(docs map[string]*document) []string {
	names := make([]string, 0, len(docs))
	for name := range docs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (l *loader) checkOne(k kind, name string, d *document) {
	if given, ok := d.text("name"); ok && given != name {
		d.at(codeOtherName, []string{"name"}, "must be %q, the file's name, or left out", name)
	}
	d.set("name", name)
	switch k {
	case kindAction:
		l.checkAction(d)
	case kindTrigger:
		l.checkTrigger(d)
	case kindSensor:
		l.checkSensor(d)
	case kindRule:
		l.checkRule(d)
	case kindPack, kindTest:
	}
}

//go:embed schemas/*.json
var schemaFiles embed.FS

// Schemas holds the JSON Schema of every kind of file of a pack, KIND.json, for editors.
func Schemas() fs.FS {
	tree, err := fs.Sub(schemaFiles, "schemas")
	if err != nil {
		panic(err) // the name is valid
	}
	return tree
}

// schemas holds the compiled schema of every kind of file.
var schemas = sync.OnceValue(func() map[kind]*schema.Schema {
	compiled := map[kind]*schema.Schema{}
	for _, k := range []kind{kindPack, kindAction, kindTrigger, kindSensor, kindRule, kindTest} {
		doc, err := schemaFiles.ReadFile("schemas/" + string(k) + ".json")
		if err != nil {
			panic(err) // it is compiled in
		}
		if compiled[k], err = schema.Compile(doc); err != nil {
			panic(err) // a test loads a pack with every kind
		}
	}
	return compiled
})

// fits checks a document against the schema of its kind, and, when nothing at all is wrong with the pack so
// far, reads it into v.
func (d *document) fits(k kind, v any) {
	if faults, ok := errors.AsType[schema.Faults](schemas()[k].Validate(d.value)); ok {
		for _, f := range faults {
			if !d.broken[pointer(f.Path)] {
				d.fault(f)
			}
		}
	}
	if len(d.loader.mistakes) > 0 {
		return
	}
	b, err := json.Marshal(d.value)
	if err == nil {
		err = decodeExact(b, v)
	}
	if err != nil {
		d.at(codeValue, nil, "%v", err)
	}
}

// fault places a schema's fault. Users write YAML, where a number can be meant as text.
func (d *document) fault(f schema.Fault) {
	message := f.Message + d.instead(f)
	if what := remedy(f); what != "" {
		message += " (" + what + ")"
	}
	if len(f.Path) > 0 {
		message = f.Field() + ": " + message
	}
	code := codeOf(f)
	if p, ok := d.places[pointer(f.Path)]; ok && p.key != nil && (code == codeUnknown || code == codeProperty) {
		d.complainAt(code, p.key, "%s", message)
		return
	}
	d.at(code, f.Path, "%s", message)
}

// codeOf gives the code of a schema's fault.
func codeOf(f schema.Fault) Code {
	switch f.Kind {
	case schema.KindUnknown:
		return codeUnknown
	case schema.KindRequired:
		return codeRequired
	case schema.KindType:
		return codeType
	case schema.KindName:
		return codeProperty
	default:
		return codeValue
	}
}

func (d *document) set(key string, v any) {
	if object, ok := d.value.(map[string]any); ok {
		object[key] = v
	}
}

// text gives the text at a path, if there is one.
func (d *document) text(path ...string) (string, bool) {
	s, ok := d.get(path...).(string)
	return s, ok
}

// get gives the value at a path of keys, or nil.
func (d *document) get(path ...string) any {
	v := d.value
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}
