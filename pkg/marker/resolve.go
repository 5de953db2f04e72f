package marker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/strictjson"
)

// ErrUnresolved is returned when there is no value for a reference.
var ErrUnresolved = errors.New("no value for a secret")

// MayHold tells quickly that a document has no markers: false is certain.
func MayHold(doc json.RawMessage) bool {
	return bytes.Contains(doc, []byte("$secret")) || bytes.Contains(doc, []byte(`\u`))
}

// InDocument gives the markers of a JSON document.
func InDocument(doc json.RawMessage) ([]Place, error) {
	if !MayHold(doc) {
		return nil, nil
	}
	tree, err := strictjson.Parse(doc)
	if err != nil {
		return nil, err
	}
	return Find(tree)
}

// Resolve puts values in the places of a document's markers. The value of a sealed reference is JSON, that of every
// other one text. A document without markers is returned as it is; in others only the order of keys may change.
func Resolve(doc json.RawMessage, values map[Ref]string) (json.RawMessage, error) {
	if !MayHold(doc) {
		return doc, nil
	}
	tree, err := strictjson.Parse(doc)
	if err != nil {
		return nil, err
	}
	r := resolver{values: values}
	out, err := r.value(tree)
	if err != nil || !r.any {
		return doc, err
	}
	return encode(out)
}

// Fill gives a copy of a document with a value in the place of every marker.
func Fill(doc, value any) any {
	if _, is, _ := Parse(doc); is {
		return value
	}
	switch doc := doc.(type) {
	case map[string]any:
		object := make(map[string]any, len(doc))
		for key, inner := range doc {
			object[key] = Fill(inner, value)
		}
		return object
	case []any:
		list := make([]any, len(doc))
		for i, inner := range doc {
			list[i] = Fill(inner, value)
		}
		return list
	}
	return doc
}

// encode is json.Marshal without escapes that the document did not have.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, errors.New("encode resolved document") // without the cause, which may quote a value
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

type resolver struct {
	values map[Ref]string
	any    bool // there was a marker
}

func (r *resolver) value(v any) (any, error) {
	m, is, err := Parse(v)
	if err != nil {
		return nil, err
	}
	if is {
		r.any = true
		return r.marker(m)
	}
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if v[key], err = r.value(inner); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, inner := range v {
			if v[i], err = r.value(inner); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func (r *resolver) marker(m Marker) (any, error) {
	var text strings.Builder
	for _, p := range m.parts {
		if p.ref == "" {
			text.WriteString(p.text)
			continue
		}
		value, ok := r.values[p.ref]
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: %w", p.ref, ErrUnresolved)
		case p.ref.Kind() == Sealed:
			return unsealed(p.ref, value)
		case !m.text:
			return value, nil
		}
		text.WriteString(value)
	}
	return text.String(), nil
}

func unsealed(ref Ref, value string) (any, error) {
	v, err := strictjson.Parse([]byte(value))
	if err != nil {
		return nil, fmt.Errorf("%s: its value is not JSON: %w", ref, ErrUnresolved)
	}
	return v, nil
}

// Hidden gives the texts by which values would be known in an output: those of names as they are, and of sealed
// JSON every text and number that it holds.
func Hidden(values map[Ref]string) []string {
	var out []string
	for _, ref := range slices.Sorted(maps.Keys(values)) {
		if ref.Kind() != Sealed {
			out = append(out, values[ref])
		} else if v, err := strictjson.Parse([]byte(values[ref])); err == nil {
			out = leaves(v, out)
		}
	}
	return out
}

func leaves(v any, out []string) []string {
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case json.Number:
		out = append(out, v.String())
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out = leaves(v[key], out)
		}
	case []any:
		for _, elem := range v {
			out = leaves(elem, out)
		}
	}
	return out
}
