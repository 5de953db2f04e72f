package expression

import (
	"encoding/json"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// equality is a part that compares a place in the event with a constant. Most criteria begin with one, and decide with it
// about most events; without CEL's interpreter that takes a tenth of the time. It gives what CEL gives: what is
// compared are CEL's own values, and where the place is missing or holds an object or a list, CEL decides.
type equality struct {
	at       path
	constant ref.Val
	differs  bool // it is !=
}

// equalityOf reads an expression as one, if it is.
func equalityOf(e ast.Expr) *equality {
	if e.Kind() != ast.CallKind {
		return nil
	}
	call := e.AsCall()
	name := call.FunctionName()
	if name != operators.Equals && name != operators.NotEquals {
		return nil
	}
	a, b := call.Args()[0], call.Args()[1]
	if a.Kind() == ast.LiteralKind {
		a, b = b, a
	}
	at, ok := pathOf(a)
	if !ok || b.Kind() != ast.LiteralKind || optional(a) {
		return nil
	}
	return &equality{at: at, constant: b.AsLiteral(), differs: name == operators.NotEquals}
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
func (q *equality) decide(event map[string]any) (fits, known bool) {
	var v ref.Val
	switch found := q.at.in(event).(type) {
	case string:
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
	return (types.Equal(v, q.constant) == types.True) != q.differs, true
}
