package marker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The keys that make an object a marker.
const (
	keySecret = "$secret"
	keyText   = "$secret_text"
)

const (
	// MaxRefs is how many secrets one document may refer to.
	MaxRefs = 64
	// maxPlaces is in how many places it may do so.
	maxPlaces = 1024
	// maxParts bounds the parts of one text.
	maxParts = 256
)

// ErrMalformed is matched by the error of an object that has a marker's key and is no marker.
var ErrMalformed = errors.New("not a reference to a secret that Attune made")

// Error says where a document has something that looks like a marker and is none.
type Error struct {
	Path    []string // from the top
	Message string
}

// Error gives "path: message".
func (e *Error) Error() string {
	if len(e.Path) == 0 {
		return e.Message
	}
	return strings.Join(e.Path, ".") + ": " + e.Message
}

// Is makes it ErrMalformed.
func (e *Error) Is(target error) bool { return target == ErrMalformed }

// Marker stands for one value.
type Marker struct {
	text  bool // a text of parts, not the value of the one part
	parts []part
}

// part is fixed text, or what a reference stands for.
type part struct {
	text string
	ref  Ref
}

// Of gives the marker of a secret.
func Of(r Ref) map[string]any { return map[string]any{keySecret: string(r)} }

// Text gives the marker of a text: of strings, and of what Of gives.
func Text(parts []any) map[string]any { return map[string]any{keyText: parts} }

// Refs gives the secrets that it stands for, each as often as it is used.
func (m Marker) Refs() []Ref {
	var refs []Ref
	for _, p := range m.parts {
		if p.ref != "" {
			refs = append(refs, p.ref)
		}
	}
	return refs
}

// Reserved tells whether an object has a marker's key: it is a marker then, or not allowed.
func Reserved(object map[string]any) bool {
	_, secret := object[keySecret]
	_, text := object[keyText]
	return secret || text
}

// Holds tells whether a document has, anywhere, what is a marker or looks like one.
func Holds(doc any) bool {
	switch doc := doc.(type) {
	case map[string]any:
		if Reserved(doc) {
			return true
		}
		for _, v := range doc {
			if Holds(v) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(doc, Holds)
	}
	return false
}

// Parse reads a value of a document; is says that it is a marker. Its error is of type *Error.
func Parse(v any) (m Marker, is bool, err error) {
	object, ok := v.(map[string]any)
	if !ok || !Reserved(object) {
		return Marker{}, false, nil
	}
	if len(object) != 1 {
		return Marker{}, false, &Error{Message: "a reference to a secret has no other keys"}
	}
	if parts, ok := object[keyText]; ok {
		m, err = parseText(parts)
		return m, err == nil, err
	}
	ref, err := parseSecret(object)
	return Marker{parts: []part{{ref: ref}}}, err == nil, err
}

func parseSecret(object map[string]any) (Ref, error) {
	text, ok := object[keySecret].(string)
	if !ok {
		return "", &Error{Message: fmt.Sprintf("%s: want the name of a secret", keySecret)}
	}
	ref, err := ParseRef(text)
	if err != nil {
		return "", &Error{Message: fmt.Sprintf("%s: %v", keySecret, err)}
	}
	return ref, nil
}

func parseText(v any) (Marker, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > maxParts {
		return Marker{}, &Error{Message: fmt.Sprintf("%s: want a list of 1 to %d texts and references", keyText, maxParts)}
	}
	m := Marker{text: true}
	for _, v := range list {
		if text, ok := v.(string); ok {
			m.parts = append(m.parts, part{text: text})
			continue
		}
		object, _ := v.(map[string]any)
		ref, err := parseSecret(object)
		switch {
		case err != nil:
			return Marker{}, err
		case len(object) != 1 || ref.Kind() == Sealed:
			return Marker{}, &Error{Message: keyText + ": want texts and references to secrets by name"}
		}
		m.parts = append(m.parts, part{ref: ref})
	}
	return m, nil
}

// Place is where a document has a marker.
type Place struct {
	Path []string // keys and indexes from the top
	Marker
}

// Find gives the markers of a document that strictjson.Parse made, in the order of their paths. Its error is of type
// *Error: something looks like a marker and is none, or there are too many.
func Find(doc any) ([]Place, error) {
	f := finder{refs: map[Ref]bool{}}
	if err := f.walk(doc, nil); err != nil {
		return nil, err
	}
	return f.found, nil
}

type finder struct {
	found []Place
	refs  map[Ref]bool
}

func (f *finder) walk(v any, path []string) error {
	m, is, err := Parse(v)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			e.Path = slices.Clone(path)
		}
		return err
	}
	if is {
		return f.add(m, path)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := f.walk(v[key], append(path, key)); err != nil {
				return err
			}
		}
	case []any:
		for i, elem := range v {
			if err := f.walk(elem, append(path, strconv.Itoa(i))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *finder) add(m Marker, path []string) error {
	for _, ref := range m.Refs() {
		f.refs[ref] = true
	}
	if len(f.refs) > MaxRefs || len(f.found) == maxPlaces {
		return &Error{Path: slices.Clone(path), Message: fmt.Sprintf("more than %d secrets in one document, or in more than %d places", MaxRefs, maxPlaces)}
	}
	f.found = append(f.found, Place{Path: slices.Clone(path), Marker: m})
	return nil
}

// RefsOf lists the secrets of some places, each once.
func RefsOf(places []Place) []Ref {
	var refs []Ref
	for _, p := range places {
		refs = append(refs, p.Refs()...)
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}
