package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/strictjson"
)

// arguments makes the parameters of an action from key=value and key:=json, on top of a base object. The
// action's schema says what kind of value each text stands for. Every mistake is reported.
func arguments(base map[string]json.RawMessage, args []string, schema json.RawMessage) (json.RawMessage, error) {
	root, err := parseShape(schema)
	if err != nil {
		return nil, err
	}
	out := maps.Clone(base)
	if out == nil {
		out = map[string]json.RawMessage{}
	}
	given := map[string]bool{}
	var errs []error
	for _, arg := range args {
		key, value, err := argument(arg, root)
		if err == nil && given[key] {
			err = fmt.Errorf("%s is given twice", key)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		given[key], out[key] = true, value
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return json.Marshal(out)
}

func argument(arg string, root shape) (key string, value json.RawMessage, err error) {
	left, text, ok := strings.Cut(arg, "=")
	if !ok || left == "" || left == ":" {
		return "", nil, fmt.Errorf("%q: want key=value, or key:=JSON", arg)
	}
	if key, literal := strings.CutSuffix(left, ":"); literal {
		if _, err := strictjson.Parse([]byte(text)); err != nil {
			return "", nil, fmt.Errorf("%s:=%s: %w", key, text, err)
		}
		return key, json.RawMessage(text), nil
	}
	value, err = root.property(left).value(text)
	if err != nil {
		return "", nil, fmt.Errorf("%s=%s: %w", left, text, err)
	}
	return left, value, nil
}

// shape is as much of a JSON Schema as tells what kind of value a text stands for.
type shape struct {
	node map[string]any
	root map[string]any // what "#/..." refers into
}

func parseShape(raw json.RawMessage) (shape, error) {
	if len(raw) == 0 {
		return shape{}, nil
	}
	var node map[string]any
	if err := json.Unmarshal(raw, &node); err != nil {
		return shape{}, fmt.Errorf("the action's parameter schema: %w", err)
	}
	return shape{node: node, root: node}, nil
}

// maxRefs bounds how far references are followed.
const maxRefs = 8

// at gives the schema of a node, behind its references.
func (s shape) at(v any) shape {
	node, _ := v.(map[string]any)
	for range maxRefs {
		ref, ok := node["$ref"].(string)
		if !ok {
			break
		}
		node = s.lookup(ref)
	}
	return shape{node: node, root: s.root}
}

func (s shape) lookup(ref string) map[string]any {
	at := any(s.root)
	for part := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(ref, "#"), "/"), "/") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	node, _ := at.(map[string]any)
	return node
}

// property gives the schema of a parameter.
func (s shape) property(key string) shape {
	properties, _ := s.node["properties"].(map[string]any)
	if p, ok := properties[key]; ok {
		return s.at(p)
	}
	return s.at(s.node["additionalProperties"])
}

// names lists the parameters that the schema knows.
func (s shape) names() []string {
	properties, _ := s.node["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(properties))
}

// secret tells whether a parameter's value is to be kept from sight.
func (s shape) secret() bool {
	secret, _ := s.node["secret"].(bool)
	return secret
}

// kinds lists the types that the schema allows; none means that it does not say.
func (s shape) kinds() []string {
	var out []string
	switch t := s.node["type"].(type) {
	case string:
		out = append(out, t)
	case []any:
		for _, v := range t {
			if name, ok := v.(string); ok {
				out = append(out, name)
			}
		}
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		branches, _ := s.node[word].([]any)
		for _, b := range branches {
			out = append(out, s.at(b).kinds()...)
		}
	}
	if len(out) == 0 {
		out = s.kindsOfValues()
	}
	return out
}

// kindsOfValues lists the types of the values that enum and const allow.
func (s shape) kindsOfValues() []string {
	values, _ := s.node["enum"].([]any)
	if c, ok := s.node["const"]; ok {
		values = append(values, c)
	}
	var out []string
	for _, v := range values {
		out = append(out, kindOf(v))
	}
	return out
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case float64, json.Number:
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}

// value reads a text as the schema says: as text wherever text is allowed or nothing is said, else as the JSON
// of an allowed type.
func (s shape) value(text string) (json.RawMessage, error) {
	kinds := s.kinds()
	if len(kinds) == 0 || slices.Contains(kinds, "string") {
		return json.Marshal(text)
	}
	v, err := strictjson.Parse([]byte(text))
	if err != nil || !allowed(kinds, v) {
		return nil, fmt.Errorf("want %s", wanted(kinds))
	}
	return json.RawMessage(strings.TrimSpace(text)), nil
}

func allowed(kinds []string, v any) bool {
	kind := kindOf(v)
	return slices.Contains(kinds, kind) || (kind == "number" && slices.Contains(kinds, "integer") && whole(v))
}

// whole tells whether a number has no fraction, as JSON Schema means it: 3.0 and 1e3 have none.
func whole(v any) bool {
	n, _ := v.(json.Number)
	if !strings.ContainsAny(n.String(), ".eE") {
		return true
	}
	f, err := n.Float64()
	return err == nil && f == math.Trunc(f)
}

func wanted(kinds []string) string {
	names := map[string]string{
		"integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null",
		"array": `an array, such as '["a","b"]'`, "object": `an object, such as '{"a":1}'`,
	}
	var out []string
	for _, k := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
		out = append(out, first(names[k], k))
	}
	return strings.Join(out, ", or ")
}
