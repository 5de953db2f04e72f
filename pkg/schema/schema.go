package schema

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/attune/attune/pkg/strictjson"
)

// ErrRemoteRef is returned when a schema refers to another document.
var ErrRemoteRef = errors.New("a $ref may only point into the same schema")

// location is the name that a schema has while it is compiled.
const location = "attune:///schema"

// Schema is a compiled schema. It is safe for concurrent use. The zero value accepts everything.
type Schema struct {
	compiled *jsonschema.Schema
}

// Fault is one thing that is wrong with a value.
type Fault struct {
	Path    []string // keys and indexes from the top; empty means the value itself
	Kind    Kind
	Message string
}

// Kind is a kind of fault, for those who sort them.
type Kind string

// The kinds of faults.
const (
	KindValue    Kind = ""         // the value is not allowed
	KindType     Kind = "type"     // it is of the wrong type
	KindRequired Kind = "required" // it is missing
	KindUnknown  Kind = "unknown"  // nobody knows the property
	KindName     Kind = "name"     // the property's name is not allowed
)

// Field gives the path as users write it: "hosts.3.name".
func (f Fault) Field() string { return strings.Join(f.Path, ".") }

// String gives "path: message".
func (f Fault) String() string {
	if len(f.Path) == 0 {
		return f.Message
	}
	return f.Field() + ": " + f.Message
}

// Faults is everything that is wrong with a value, or with a schema: the error of Validate and Compile.
type Faults []Fault

// Error gives the faults, separated by semicolons.
func (fs Faults) Error() string {
	texts := make([]string, len(fs))
	for i, f := range fs {
		texts[i] = f.String()
	}
	return strings.Join(texts, "; ")
}

// Compile reads a schema. An empty document gives a schema that accepts everything.
func Compile(doc []byte) (*Schema, error) {
	if len(doc) == 0 {
		return &Schema{}, nil
	}
	tree, err := strictjson.Parse(doc)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return CompileValue(tree)
}

// CompileValue is Compile for a document that strictjson.Parse has read.
func CompileValue(tree any) (*Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.RegisterVocabulary(secretVocabulary)
	c.AssertVocabs()
	c.UseLoader(noLoader{})
	if err := c.AddResource(location, tree); err != nil {
		return nil, compileFaults(err, tree)
	}
	compiled, err := c.Compile(location)
	if err != nil {
		return nil, compileFaults(err, tree)
	}
	return &Schema{compiled: compiled}, nil
}

// noLoader refuses to fetch other documents.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: %w", url, ErrRemoteRef)
}

// Validate checks a value that strictjson.Parse made. Its error is of type Faults.
func (s *Schema) Validate(v any) error {
	if s == nil || s.compiled == nil {
		return nil
	}
	err := s.compiled.Validate(v)
	var invalid *jsonschema.ValidationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return collect(invalid, v)
	default:
		return Faults{{Message: err.Error()}}
	}
}

// WithDefaults gives v with the schema's defaults for properties that are missing, in nested objects too.
// v itself is not changed.
func (s *Schema) WithDefaults(v map[string]any) map[string]any {
	if s == nil || s.compiled == nil {
		return v
	}
	return withDefaults(s.compiled, v)
}

func withDefaults(s *jsonschema.Schema, v map[string]any) map[string]any {
	full := maps.Clone(v)
	if full == nil {
		full = map[string]any{}
	}
	for name, property := range s.Properties {
		given, ok := full[name]
		object, isObject := given.(map[string]any)
		switch {
		case !ok && property.Default != nil:
			full[name] = *property.Default
		case ok && isObject:
			full[name] = withDefaults(property, object)
		}
	}
	return full
}
