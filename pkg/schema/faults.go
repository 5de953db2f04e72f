package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

var english = message.NewPrinter(language.English)

// compileFaults makes the library's errors about a schema ours.
func compileFaults(err error, tree any) error {
	var invalid *jsonschema.ValidationError
	var load *jsonschema.LoadURLError
	var notSchema *jsonschema.SchemaValidationError
	switch {
	case errors.As(err, &load):
		return fmt.Errorf("compile schema: %w", load.Err) // it does not unwrap by itself
	case errors.As(err, &notSchema) && errors.As(notSchema.Err, &invalid):
		return collect(invalid, tree)
	default:
		return errors.New("compile schema: " + strings.ReplaceAll(err.Error(), location, ""))
	}
}

// collect flattens a tree of errors about a value into faults, ordered by path.
func collect(e *jsonschema.ValidationError, v any) Faults {
	fs := leaves(e, v, nil)
	slices.SortStableFunc(fs, func(a, b Fault) int { return slices.Compare(a.Path, b.Path) })
	return slices.CompactFunc(fs, func(a, b Fault) bool { return a.String() == b.String() })
}

// maxPlaced is how many faults before that of a property's name let its place be looked for: a search of the whole
// value for each of many would take long.
const maxPlaced = 100

func leaves(e *jsonschema.ValidationError, v any, fs Faults) Faults {
	switch k := e.ErrorKind.(type) {
	case *kind.PropertyNames:
		if len(fs) >= maxPlaced {
			v = nil
		}
		return append(fs, nameFault(e, k, v))
	case *kind.AnyOf, *kind.OneOf:
		return append(fs, Fault{Path: e.InstanceLocation, Message: alternatives(e, v)})
	}
	if len(e.Causes) == 0 {
		return append(fs, faultsOf(e)...)
	}
	for _, cause := range e.Causes {
		fs = leaves(cause, v, fs)
	}
	return fs
}

// nameFault says what is wrong with the name of a property.
func nameFault(e *jsonschema.ValidationError, k *kind.PropertyNames, v any) Fault {
	var whys []string
	for _, cause := range e.Causes {
		whys = append(whys, collect(cause, nil).Error())
	}
	return Fault{
		Path: owner(e, k.Property, v), Kind: KindName,
		Message: fmt.Sprintf("the name of property %q is not allowed: %s", k.Property, strings.Join(whys, "; ")),
	}
}

// owner gives the path of a property whose name is not allowed, and none when several can be meant: of the
// library's own path only the length can be trusted, because it is overwritten by what is checked later.
func owner(e *jsonschema.ValidationError, property string, v any) []string {
	_, pointer, _ := strings.Cut(e.SchemaURL, "#")
	found := holders(v, nil, len(e.InstanceLocation), property)
	found = slices.DeleteFunc(found, func(path []string) bool { return !leadsTo(path, pointer) })
	if len(found) != 1 {
		return nil
	}
	return append(found[0], property)
}

// holders lists the paths of the objects that are so deep in a value and have a property.
func holders(v any, path []string, depth int, property string) (found [][]string) {
	object, _ := v.(map[string]any)
	if depth == 0 {
		if _, ok := object[property]; ok {
			return [][]string{slices.Clone(path)}
		}
		return nil
	}
	for name, inner := range object {
		found = append(found, holders(inner, append(slices.Clip(path), name), depth-1, property)...)
	}
	items, _ := v.([]any)
	for i, inner := range items {
		found = append(found, holders(inner, append(slices.Clip(path), strconv.Itoa(i)), depth-1, property)...)
	}
	return found
}

// leadsTo tells whether a value at path can be what the keyword at a pointer into the schema checks. A pointer
// through other keywords than those of properties and items can be about any.
func leadsTo(path []string, pointer string) bool {
	steps := strings.Split(strings.Trim(pointer, "/"), "/")
	for len(steps) > 1 && len(path) > 0 {
		switch steps[0] {
		case "properties":
			if unescape.Replace(steps[1]) != path[0] {
				return false
			}
			steps, path = steps[2:], path[1:]
		case "additionalProperties", "items":
			steps, path = steps[1:], path[1:]
		default:
			return true
		}
	}
	return true
}

// unescape makes a step of a pointer the name that it stands for.
var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// alternatives says why none of several forms fits. Only one of them had to.
func alternatives(e *jsonschema.ValidationError, v any) string {
	if len(e.Causes) == 0 {
		return "fits more than one of the forms that exclude each other"
	}
	texts := make([]string, len(e.Causes))
	for i, cause := range e.Causes {
		texts[i] = relative(collect(cause, v), len(e.InstanceLocation)).Error()
	}
	return "fits none of the allowed forms (" + strings.Join(texts, "), (") + ")"
}

func relative(fs Faults, depth int) Faults {
	for i := range fs {
		fs[i].Path = fs[i].Path[min(depth, len(fs[i].Path)):]
	}
	return fs
}

// faultsOf gives a leaf's faults: one for each property that is missing or not allowed, otherwise one.
func faultsOf(e *jsonschema.ValidationError) Faults {
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return perProperty(e, k.Missing, KindRequired, "is required")
	case *kind.DependentRequired:
		return perProperty(e, k.Missing, KindRequired, "is required together with "+k.Prop)
	case *kind.AdditionalProperties:
		return perProperty(e, k.Properties, KindUnknown, "is not a known property")
	case *kind.Type:
		return Faults{{Path: e.InstanceLocation, Kind: KindType, Message: text(k)}}
	default:
		return Faults{{Path: e.InstanceLocation, Message: text(e.ErrorKind)}}
	}
}

func perProperty(e *jsonschema.ValidationError, names []string, k Kind, message string) Faults {
	fs := make(Faults, len(names))
	for i, name := range names {
		fs[i] = Fault{Path: append(slices.Clone(e.InstanceLocation), name), Kind: k, Message: message}
	}
	return fs
}

// text words a fault without the value that has it.
func text(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + names(k.Want) + ", not " + names([]string{k.Got})
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Const:
		return "must be " + list([]any{k.Want})
	case *kind.Format:
		return "is not a valid " + k.Want
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.FalseSchema:
		return "is not allowed here"
	default:
		return bounds(k)
	}
}

// bounds words the kinds that compare with a bound.
func bounds(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "must be more than " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "must be less than " + k.Want.RatString()
	case *kind.MultipleOf:
		return "must be a multiple of " + k.Want.RatString()
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items", k.Want)
	default:
		return k.LocalizedString(english)
	}
}

func names(kinds []string) string {
	texts := make([]string, len(kinds))
	for i, k := range kinds {
		texts[i] = kindNames[k]
		if texts[i] == "" {
			texts[i] = k
		}
	}
	return strings.Join(texts, " or ")
}

var kindNames = map[string]string{
	"string": "text", "boolean": "a boolean", "array": "a list", "object": "an object",
	"number": "a number", "integer": "a whole number",
}

func list(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		b, err := json.Marshal(v)
		if err != nil {
			b = fmt.Append(nil, v)
		}
		texts[i] = string(b)
	}
	return strings.Join(texts, ", ")
}
