package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Unmarshal reads one JSON value into v, as json.Unmarshal does, but strictly: every key must be a field's
// exact name. Numbers in fields of type any become json.Number.
func Unmarshal(data []byte, v any) error {
	tree, err := Parse(data)
	if err != nil {
		return err
	}
	if err := known(tree, reflect.TypeOf(v), nil); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return describe(d.Decode(v))
}

// describe makes encoding/json's errors ours.
func describe(err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		return &Error{
			Path: wrongType.Field, Offset: int(wrongType.Offset),
			Message: "must be " + kindOf(wrongType.Type) + ", not " + article(wrongType.Value),
		}
	default:
		return &Error{Offset: -1, Message: err.Error()}
	}
}

func article(kind string) string {
	switch {
	case kind == "string":
		return "text"
	case kind == "bool":
		return "a boolean"
	case strings.HasPrefix(kind, "number"):
		return strings.Replace(kind, "number", "the number", 1)
	case kind == "array", kind == "object":
		return "an " + kind
	default:
		return kind
	}
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "a boolean"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative and fits"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number that fits"
	default:
		return t.String()
	}
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// known checks the keys of tree against the fields of t. Below a type that reads itself it does not look.
func known(tree any, t reflect.Type, path []step) error {
	if t == nil || readsItself(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return known(tree, t.Elem(), path)
	case reflect.Slice, reflect.Array:
		return knownElements(tree, t.Elem(), path)
	case reflect.Map:
		return knownValues(tree, func(string) (reflect.Type, bool) { return t.Elem(), true }, path)
	case reflect.Struct:
		fields := fieldsOf(t)
		return knownValues(tree, func(key string) (reflect.Type, bool) { f, ok := fields[key]; return f, ok }, path)
	default:
		return nil
	}
}

func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t.Implements(jsonUnmarshaler) || p.Implements(jsonUnmarshaler) ||
		t.Implements(textUnmarshaler) || p.Implements(textUnmarshaler)
}

func knownElements(tree any, elem reflect.Type, path []step) error {
	list, _ := tree.([]any)
	for i, v := range list {
		if err := known(v, elem, append(path, step{array: true, index: i})); err != nil {
			return err
		}
	}
	return nil
}

func knownValues(tree any, typeOf func(string) (reflect.Type, bool), path []step) error {
	m, _ := tree.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v, here := m[key], append(path, step{key: key})
		t, ok := typeOf(key)
		if !ok {
			p := parser{path: here}
			return &Error{Path: p.pathText(), Offset: -1, Message: "not a known field"}
		}
		if err := known(v, t, here); err != nil {
			return err
		}
	}
	return nil
}

// tables keeps fieldsOf's answers by type.
var tables sync.Map

// fieldsOf gives a struct's JSON names, those of embedded structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if table, ok := tables.Load(t); ok {
		return table.(map[string]reflect.Type)
	}
	table := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name, ok := jsonName(f); ok {
			table[name] = f.Type
		}
	}
	tables.Store(t, table)
	return table
}

func jsonName(f reflect.StructField) (string, bool) {
	tag := f.Tag.Get("json")
	name, _, _ := strings.Cut(tag, ",")
	switch {
	case !f.IsExported(), tag == "-", f.Anonymous && name == "":
		return "", false
	case name == "":
		return f.Name, true
	default:
		return name, true
	}
}
