package marker

import (
	"errors"
	"slices"
	"strconv"

	"github.com/attune/attune/pkg/schema"
)

const (
	notClear = "is secret: give a reference to a secret, not its value"
	notText  = "; a secret that is referred to by name is text"
)

// Leads tells whether a path is another one, or the beginning of it.
func Leads(path, to []string) bool {
	return len(path) <= len(to) && slices.Equal(path, to[:len(path)])
}

// Fits checks a document against a schema, with a text in the place of each secret that is referred to by name. Of a
// secret's own place only its kind can be told. Its error is of type schema.Faults.
func Fits(s *schema.Schema, doc any) error {
	if !Holds(doc) {
		return s.Validate(doc)
	}
	places, err := Find(doc)
	if err != nil {
		return asFault(err)
	}
	var faults schema.Faults
	if err := s.Validate(Fill(doc, "secret")); !errors.As(err, &faults) {
		return err
	}
	faults = slices.DeleteFunc(faults, func(f schema.Fault) bool { return aboutSecret(f, places) })
	for i, f := range faults {
		if at := func(p Place) bool { return slices.Equal(p.Path, f.Path) }; f.Kind == schema.KindType && slices.ContainsFunc(places, at) {
			faults[i].Message += notText
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return faults
}

// aboutSecret tells whether a fault is about a value that nobody here knows. That its name is wrong is not.
func aboutSecret(f schema.Fault, places []Place) bool {
	return slices.ContainsFunc(places, func(p Place) bool {
		switch {
		case !Leads(p.Path, f.Path):
			return false
		case len(f.Path) > len(p.Path):
			return true
		case f.Kind == schema.KindType: // a sealed value was checked before
			return p.Refs()[0].Kind() == Sealed
		default:
			return f.Kind != schema.KindUnknown && f.Kind != schema.KindName
		}
	})
}

// Conceals gives a fault for each value that the schema says is secret, and that is in the clear. Its error is of type
// schema.Faults.
func Conceals(s *schema.Schema, doc any) error {
	var faults schema.Faults
	for _, path := range s.Secrets(doc) {
		for _, at := range clearIn(schema.At(doc, path), path) {
			faults = append(faults, schema.Fault{Path: at, Message: notClear})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return faults
}

// clearIn gives the places of values that are no markers.
func clearIn(v any, path []string) (found [][]string) {
	if _, is, _ := Parse(v); is || v == nil {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			found = append(found, clearIn(value, append(slices.Clip(path), key))...)
		}
	case []any:
		for i, value := range v {
			found = append(found, clearIn(value, append(slices.Clip(path), strconv.Itoa(i)))...)
		}
	default:
		return [][]string{path}
	}
	slices.SortFunc(found, slices.Compare)
	return found
}

// asFault makes a fault of what looks like a marker and is none.
func asFault(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return schema.Faults{{Path: e.Path, Message: e.Message}}
	}
	return err
}
