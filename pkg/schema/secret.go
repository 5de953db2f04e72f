package schema

import (
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// secretMark is the keyword "secret: true": the value is to be kept from sight.
type secretMark struct{}

// Validate lets every value through: the keyword says nothing of it.
func (secretMark) Validate(*jsonschema.ValidatorContext, any) {}

// errSecret is returned when the keyword does not say yes or no.
var errSecret = errors.New("secret: must be true or false")

var secretVocabulary = &jsonschema.Vocabulary{
	URL: "attune:///vocabulary/secret",
	Compile: func(_ *jsonschema.CompilerContext, obj map[string]any) (jsonschema.SchemaExt, error) {
		switch v, given := obj["secret"]; {
		case given && v != true && v != false:
			return nil, errSecret
		case v == true:
			return secretMark{}, nil
		}
		return nil, nil //nolint:nilnil // the keyword is not there
	},
}

// Secrets gives the places of a value that the schema says are secret, in order. What is null is nothing to hide.
// Where the schema says it of the value as a whole, these are its properties.
func (s *Schema) Secrets(v any) [][]string {
	if s == nil || s.compiled == nil {
		return nil
	}
	return secretsIn(v, expand(nil, s.compiled), nil)
}

func secretsIn(v any, at view, path []string) (found [][]string) {
	switch secret := at.secret(); {
	case v == nil:
		return nil
	case secret && len(path) > 0:
		return [][]string{slices.Clone(path)}
	case secret:
		object, _ := v.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(object)) {
			found = append(found, []string{key})
		}
		return found
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			found = append(found, secretsIn(v[key], at.property(key), append(path, key))...)
		}
	case []any:
		for i, elem := range v {
			found = append(found, secretsIn(elem, at.item(i), append(path, strconv.Itoa(i)))...)
		}
	}
	return found
}

// SecretAt tells whether the schema says that the value at a path of keys and indexes, something that it is part of,
// or something within it, is secret.
func (s *Schema) SecretAt(path []any) bool {
	if s == nil || s.compiled == nil {
		return false
	}
	at := expand(nil, s.compiled)
	for _, step := range path {
		if at.secret() {
			return true
		}
		switch step := step.(type) {
		case string:
			at = at.property(step)
		case int:
			at = at.item(step)
		}
	}
	return len(below(at, map[*jsonschema.Schema]bool{}, func(s *jsonschema.Schema) bool { return view{s}.secret() })) > 0
}

// ShowsSecret tells whether the schema has a default for a value that it says is secret.
func (s *Schema) ShowsSecret() bool {
	if s == nil || s.compiled == nil {
		return false
	}
	shows := func(s *jsonschema.Schema) bool {
		if s.Default == nil || *s.Default == nil {
			return false
		}
		at := expand(nil, s)
		return at.secret() || len(secretsIn(*s.Default, at, nil)) > 0
	}
	return len(below(expand(nil, s.compiled), map[*jsonschema.Schema]bool{}, shows)) > 0
}

// view is all the schemas that say something of one value.
type view []*jsonschema.Schema

// expand adds a schema, and those that it applies to the same value.
func expand(to view, s *jsonschema.Schema) view {
	if s == nil || slices.Contains(to, s) {
		return to
	}
	to = append(to, s)
	for _, other := range inPlace(s) {
		to = expand(to, other)
	}
	return to
}

func inPlace(s *jsonschema.Schema) []*jsonschema.Schema {
	out := slices.Concat([]*jsonschema.Schema{s.Ref, s.RecursiveRef, s.If, s.Then, s.Else}, s.AllOf, s.AnyOf, s.OneOf,
		slices.Collect(maps.Values(s.DependentSchemas)))
	if s.DynamicRef != nil {
		out = append(out, s.DynamicRef.Ref)
	}
	for _, d := range s.Dependencies {
		out = append(out, asSchema(d))
	}
	return out
}

// asSchema gives what may be a schema or something else.
func asSchema(v any) *jsonschema.Schema {
	s, _ := v.(*jsonschema.Schema)
	return s
}

func (v view) secret() bool {
	return slices.ContainsFunc(v, func(s *jsonschema.Schema) bool {
		return slices.ContainsFunc(s.Extensions, func(e jsonschema.SchemaExt) bool { return e == secretMark{} })
	})
}

// property gives what is said of a property's value.
func (v view) property(name string) (out view) {
	for _, s := range v {
		known := false
		if p, ok := s.Properties[name]; ok {
			out, known = expand(out, p), true
		}
		for pattern, p := range s.PatternProperties {
			if pattern.MatchString(name) {
				out, known = expand(out, p), true
			}
		}
		if !known {
			out = expand(out, asSchema(s.AdditionalProperties))
			out = expand(out, s.UnevaluatedProperties)
		}
	}
	return out
}

// item gives what is said of an element of a list.
func (v view) item(i int) (out view) {
	for _, s := range v {
		out = expand(out, s.Contains)
		first, rest := s.PrefixItems, []*jsonschema.Schema{s.Items2020, s.UnevaluatedItems, asSchema(s.Items)}
		if list, ok := s.Items.([]*jsonschema.Schema); ok {
			first, rest = list, []*jsonschema.Schema{asSchema(s.AdditionalItems)}
		}
		if i >= 0 && i < len(first) {
			out = expand(out, first[i])
			continue
		}
		for _, r := range rest {
			out = expand(out, r)
		}
	}
	return out
}

// below gives the schemas of some values, and of everything within them, that are wanted.
func below(at view, seen map[*jsonschema.Schema]bool, wanted func(*jsonschema.Schema) bool) (found view) {
	for _, s := range at {
		if seen[s] {
			continue
		}
		seen[s] = true
		if wanted(s) {
			found = append(found, s)
		}
		var inner view
		for _, child := range within(s) {
			inner = expand(inner, child)
		}
		found = append(found, below(inner, seen, wanted)...)
	}
	return found
}

// within gives the schemas that one has for the parts of its value.
func within(s *jsonschema.Schema) []*jsonschema.Schema {
	out := slices.Concat(s.PrefixItems, slices.Collect(maps.Values(s.Properties)), slices.Collect(maps.Values(s.PatternProperties)))
	out = append(out, asSchema(s.AdditionalProperties), s.UnevaluatedProperties, s.Items2020, s.UnevaluatedItems, s.Contains,
		asSchema(s.Items), asSchema(s.AdditionalItems))
	if list, ok := s.Items.([]*jsonschema.Schema); ok {
		out = append(out, list...)
	}
	return out
}

// At gives the value at a path as Secrets gives it, in the document that it was found in.
func At(v any, path []string) any {
	for _, step := range path {
		switch container := v.(type) {
		case map[string]any:
			v = container[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(container) {
				return nil
			}
			v = container[i]
		}
	}
	return v
}
