package invocation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/schema"
)

// Split takes the values out of parameters that the action's schema says are secret, and gives the parameters with a
// marker in the place of each. The values are JSON. Both are checked as Request does it, which takes what is given
// here.
func (a *Action) Split(params map[string]any) (map[string]any, map[marker.Ref]string, error) {
	params = a.complete(params)
	if err := marker.Fits(a.schema, params); err != nil {
		return nil, nil, err
	}
	s := &splitter{secret: a.schema.Secrets(params), values: map[marker.Ref]string{}}
	if len(s.secret) == 0 {
		return params, nil, nil
	}
	marked, err := s.split(params, nil)
	if err != nil {
		return nil, nil, err
	}
	if s.size > execution.MaxParameters {
		return nil, nil, fmt.Errorf("action %s: %d bytes of secrets, at most %d: %w", a.Ref, s.size, execution.MaxParameters, ErrTooLarge)
	}
	if err := marker.Fits(nil, marked); err != nil {
		return nil, nil, err
	}
	object, _ := marked.(map[string]any) // its properties are split, not itself
	return object, s.values, nil
}

// maxSecrets bounds the secret values that are looked at, those that are there by reference included.
const maxSecrets = 256

// splitter copies what it walks through.
type splitter struct {
	secret [][]string
	values map[marker.Ref]string
	size   int
}

// split goes down to the secret places. What is there already by reference stays, and so does what is around it.
func (s *splitter) split(v any, path []string) (any, error) {
	if !slices.ContainsFunc(s.secret, func(at []string) bool { return marker.Leads(path, at) }) {
		return v, nil
	}
	if slices.ContainsFunc(s.secret, func(at []string) bool { return marker.Leads(at, path) }) {
		if _, is, _ := marker.Parse(v); is || v == nil {
			return v, nil
		}
		if !marker.Holds(v) {
			return s.seal(v, path)
		}
		s.secret = append(s.secret, inner(v, path)...)
	}
	if len(s.secret) > maxSecrets {
		return nil, schema.Faults{{Path: path, Message: fmt.Sprintf("more than %d values are secret", maxSecrets)}}
	}
	return s.inside(v, path)
}

// inner gives the paths of the parts of a value.
func inner(v any, path []string) (paths [][]string) {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			paths = append(paths, append(slices.Clone(path), key))
		}
	case []any:
		for i := range v {
			paths = append(paths, append(slices.Clone(path), strconv.Itoa(i)))
		}
	}
	return paths
}

func (s *splitter) inside(v any, path []string) (out any, err error) {
	switch v := v.(type) {
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, value := range v {
			if object[key], err = s.split(value, append(slices.Clip(path), key)); err != nil {
				return nil, err
			}
		}
		return object, nil
	case []any:
		list := make([]any, len(v))
		for i, value := range v {
			if list[i], err = s.split(value, append(slices.Clip(path), strconv.Itoa(i))); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return v, nil
}

func (s *splitter) seal(v any, path []string) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, schema.Faults{{Path: path, Message: "cannot be encoded"}} // without the cause, which may quote it
	}
	ref := marker.SealedAt(path)
	s.values[ref] = string(text)
	s.size += len(text)
	return marker.Of(ref), nil
}
