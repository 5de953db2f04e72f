package expression

import (
	"context"
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// variableEvent is the variable of criteria and rules' templates.
const variableEvent = "event"

// Criteria decides whether an event is wanted. It is safe for concurrent use.
type Criteria struct {
	parts []part // all must be true
}

// part is one of the terms that a top-level && connects.
type part struct {
	program
	same    *equality // nil: it is none
	places  []place   // what it looks at, for explanations
	isFalse string    // the beginning of these
}

// NewCriteria compiles a CEL expression over the variable event. Its error is of type Mistakes.
func NewCriteria(source string) (*Criteria, error) {
	env, checked, err := compile(variableEvent, source)
	if err != nil {
		return nil, err
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, Mistakes{{Line: 1, Column: 1, Message: "must be true or false, not " + cel.FormatCELType(t)}}
	}
	c := &Criteria{}
	for _, term := range conjuncts(checked.NativeRep().Expr(), nil) {
		p, err := newPart(env, checked, term)
		if err != nil {
			return nil, err
		}
		c.parts = append(c.parts, p)
	}
	return c, nil
}

// conjuncts takes a chain of && apart, in the order of the source.
func conjuncts(e ast.Expr, found []ast.Expr) []ast.Expr {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.LogicalAnd {
		return append(found, e)
	}
	for _, arg := range e.AsCall().Args() {
		found = conjuncts(arg, found)
	}
	return found
}

// newPart compiles a term from its own text, which explanations repeat.
func newPart(env *cel.Env, whole *cel.Ast, term ast.Expr) (part, error) {
	text, err := cel.ExprToString(term, whole.NativeRep().SourceInfo())
	if err != nil {
		return part{}, fmt.Errorf("criteria: %w", err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return part{}, mistakesOf(issues)
	}
	p, err := newProgram(env, checked, variableEvent, text)
	e := checked.NativeRep().Expr()
	return part{program: p, same: equalityOf(e), places: placesOf(pathsOf(e), p.text), isFalse: clip(p.text, maxQuoted) + " is false"}, err
}

// Match tells whether an event fits. When it does not, reason names a part that was false and the values
// that it looked at. An error (of ErrEvaluation or ErrLimit) means that a part cannot be decided and no other
// part is false.
func (c *Criteria) Match(ctx context.Context, event map[string]any) (matched bool, reason string, err error) {
	open := make([]*part, 0, len(c.parts))
	for i := range c.parts {
		p := &c.parts[i]
		switch fits, known := p.decide(event); {
		case !known:
			open = append(open, p)
		case !fits:
			return false, p.explain(event), nil
		}
	}
	if len(open) == 0 {
		return true, "", nil
	}
	return matchAll(ctx, open, event)
}

// matchAll has CEL decide.
func matchAll(ctx context.Context, parts []*part, event map[string]any) (matched bool, reason string, err error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	for _, p := range parts {
		ok, partErr := p.match(ctx, event)
		if !ok && partErr == nil {
			return false, p.explain(event), nil
		}
		if err == nil {
			err = partErr
		}
	}
	return err == nil, "", err
}

// decide tells whether the part is true, if that is known without CEL.
func (p *part) decide(event map[string]any) (fits, known bool) {
	if p.same == nil {
		return false, false
	}
	return p.same.decide(event)
}

func (p *part) match(ctx context.Context, event map[string]any) (bool, error) {
	v, err := p.eval(ctx, event)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, evaluationError(p.text, errors.New("must be true or false, not "+v.Type().TypeName()))
	}
	return bool(b), nil
}
