package expression

import (
	"encoding/json"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// shortcut is a part that compares a place in the event with a constant, or looks for a constant text in it. Most
// criteria begin with one, and decide with it about most events; without CEL's interpreter that takes a tenth of the
// time. It gives what CEL gives: what is compared are CEL's own values, and where the place is missing or holds what
// the comparison is not made for, CEL decides.
type shortcut struct {
	at     path
	text   func(s string) bool                // of a text, where the constant is one
	equals *string                            // the text that text wants, where it wants a certain one
	holds  func(v ref.Val) (fits, known bool) // of anything else
}

// searches are CEL's functions of two texts that are strings' own.
var searches = map[string]func(s, part string) bool{
	overloads.StartsWith: strings.HasPrefix,
	overloads.EndsWith:   strings.HasSuffix,
	overloads.Contains:   strings.Contains,
}

// shortcutOf reads an expression as one, if it is.
func shortcutOf(e ast.Expr) *shortcut {
	if e.Kind() != ast.CallKind {
		return nil
	}
	call := e.AsCall()
	switch name := call.FunctionName(); {
	case name == operators.Equals || name == operators.NotEquals:
		return equalityOf(call)
	case call.IsMemberFunction() && len(call.Args()) == 1 && searches[name] != nil:
		return searchOf(call)
	default:
		return nil
	}
}

func equalityOf(call ast.CallExpr) *shortcut {
	a, b := call.Args()[0], call.Args()[1]
	if a.Kind() == ast.LiteralKind {
		a, b = b, a
	}
	at, ok := pathOf(a)
	if !ok || b.Kind() != ast.LiteralKind || optional(a) {
		return nil
	}
	constant, differs := b.AsLiteral(), call.FunctionName() == operators.NotEquals
	q := &shortcut{at: at, holds: func(v ref.Val) (fits, known bool) {
		return (types.Equal(v, constant) == types.True) != differs, true
	}}
	if text, ok := constant.(types.String); ok {
		wanted := string(text)
		q.text = func(s string) bool { return (s == wanted) != differs }
		if !differs {
			q.equals = &wanted
		}
	}
	return q
}

// searchOf reads PLACE.startsWith("constant") and the like.
func searchOf(call ast.CallExpr) *shortcut {
	at, ok := pathOf(call.Target())
	if !ok || call.Args()[0].Kind() != ast.LiteralKind || optional(call.Target()) {
		return nil
	}
	part, ok := call.Args()[0].AsLiteral().(types.String)
	if !ok {
		return nil
	}
	found := searches[call.FunctionName()]
	return &shortcut{
		at: at, text: func(s string) bool { return found(s, string(part)) },
		holds: func(ref.Val) (fits, known bool) { return false, false },
	}
}

// optional tells whether a path has a step that may be missing: it gives an optional value and not the one that is there.
func optional(e ast.Expr) bool {
	switch e.Kind() {
	case ast.SelectKind:
		return optional(e.AsSelect().Operand()) || e.AsSelect().IsTestOnly()
	case ast.CallKind:
		call := e.AsCall()
		return call.FunctionName() != operators.Index || optional(call.Args()[0])
	default:
		return false
	}
}

// decide tells whether the event fits, if that is known without CEL.
func (q *shortcut) decide(event map[string]any) (fits, known bool) {
	var v ref.Val
	switch found := q.at.in(event).(type) {
	case string:
		if q.text != nil {
			return q.text(found), true
		}
		v = types.String(found)
	case bool:
		v = types.Bool(found)
	case json.Number:
		v = number(found)
	case nil:
		v = types.NullValue
	default:
		return false, false
	}
	if types.IsError(v) {
		return false, false
	}
	return q.holds(v)
}
