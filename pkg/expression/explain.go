package expression

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

const (
	maxShown     = 5   // values in an explanation
	maxShownText = 100 // bytes of each
)

// path is a place in the event that an expression looks at: event.payload.labels[0].name.
type path []any // of string and int

// place is a path that explanations name.
type place struct {
	path
	label string // what stands before its value
}

// placesOf gives the paths of a part that tell more than its text.
func placesOf(paths []path, text string) (places []place) {
	for _, at := range paths {
		if name := at.String(); name != text {
			places = append(places, place{at, name + " is "})
		}
	}
	return places
}

// explain says why a part is false: its text and the values it looked at.
func (p *part) explain(event map[string]any) string {
	reason := p.isFalse
	for i, at := range p.places {
		if i == 0 {
			reason += ": "
		} else {
			reason += ", "
		}
		if i == maxShown {
			return reason + "..."
		}
		reason += at.label + show(at.in(event))
	}
	return reason
}

// missing is what a path gives that leads nowhere.
type missing struct{}

func (at path) in(event map[string]any) any { return at.from(event) }

func (at path) from(v any) any {
	for _, step := range at {
		switch step := step.(type) {
		case string:
			object, _ := v.(map[string]any)
			value, ok := object[step]
			if !ok {
				return missing{}
			}
			v = value
		case int:
			list, _ := v.([]any)
			if step < 0 || step >= len(list) {
				return missing{}
			}
			v = list[step]
		}
	}
	return v
}

// show gives a value as JSON, shortened; large ones only by their kind and size.
func show(v any) string {
	switch v := v.(type) {
	case missing:
		return "missing"
	case map[string]any:
		if len(v) > maxShown {
			return fmt.Sprintf("an object with %d keys", len(v))
		}
	case []any:
		if len(v) > maxShown {
			return fmt.Sprintf("a list of %d", len(v))
		}
	case json.Number:
		return clip(string(v), maxShownText)
	case string:
		v = clip(v, maxShownText)
		b, _ := json.Marshal(v) //nolint:errchkjson // a string
		return string(b)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("a %T", v)
	}
	return clip(string(b), maxShownText)
}

// String gives the path as it would be written in CEL.
func (at path) String() string {
	var b strings.Builder
	b.WriteString(variableEvent)
	for _, step := range at {
		switch step := step.(type) {
		case string:
			if identifier(step) {
				b.WriteString("." + step)
			} else {
				fmt.Fprintf(&b, "[%q]", step)
			}
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		}
	}
	return b.String()
}

func identifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// pathsOf gives the longest paths into the event that an expression contains, in the order of the source.
func pathsOf(e ast.Expr) []path {
	var found []path
	if at, ok := pathOf(e); ok {
		return []path{at}
	}
	for _, child := range children(e) {
		for _, at := range pathsOf(child) {
			if !slices.ContainsFunc(found, func(p path) bool { return slices.Equal(p, at) }) {
				found = append(found, at)
			}
		}
	}
	return found
}

// pathOf reads e as a path, if it is one. The event alone is not: it would show everything.
func pathOf(e ast.Expr) (path, bool) {
	at, ok := reversed(e, nil)
	slices.Reverse(at)
	return at, ok && len(at) > 0
}

func reversed(e ast.Expr, at path) (path, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return at, e.AsIdent() == variableEvent
	case ast.SelectKind:
		s := e.AsSelect()
		return reversed(s.Operand(), append(at, s.FieldName()))
	case ast.CallKind:
		return reversedIndex(e.AsCall(), at)
	default:
		return nil, false
	}
}

// takesPart tells whether a call is x[constant], x[?constant] or x.?field.
func takesPart(call ast.CallExpr) bool {
	switch call.FunctionName() {
	case operators.Index, operators.OptIndex, operators.OptSelect:
		return len(call.Args()) == 2 && call.Args()[1].Kind() == ast.LiteralKind
	default:
		return false
	}
}

// reversedIndex reads what takes a part.
func reversedIndex(call ast.CallExpr, at path) (path, bool) {
	if !takesPart(call) {
		return nil, false
	}
	switch key := call.Args()[1].AsLiteral().(type) {
	case types.String:
		return reversed(call.Args()[0], append(at, string(key)))
	case types.Int:
		return reversed(call.Args()[0], append(at, int(key)))
	default:
		return nil, false
	}
}

// children gives what an expression is made of. Of a comprehension only its range: the rest has variables.
func children(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			return append([]ast.Expr{call.Target()}, call.Args()...)
		}
		return call.Args()
	case ast.SelectKind:
		return []ast.Expr{e.AsSelect().Operand()}
	case ast.ListKind:
		return e.AsList().Elements()
	case ast.ComprehensionKind:
		return []ast.Expr{e.AsComprehension().IterRange()}
	default:
		return nil
	}
}
