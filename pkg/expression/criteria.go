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
	quick   *shortcut // nil: it is none
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
	return part{program: p, quick: shortcutOf(e), places: placesOf(pathsOf(e), p.text), isFalse: clip(p.text, maxQuoted) + " is false"}, err
}

// Match tells whether an event fits. An error (of ErrEvaluation or ErrLimit) means that a part cannot be decided and no
// other part is false.
func (c *Criteria) Match(ctx context.Context, event map[string]any) (bool, error) {
	wrong, err := c.wrong(ctx, event)
	return wrong == nil && err == nil, err
}

// Explain says why an event does not fit: it names a part that is false and the values that this looked at. It is "" where
// no part is.
func (c *Criteria) Explain(ctx context.Context, event map[string]any) string {
	wrong, _ := c.wrong(ctx, event)
	if wrong == nil {
		return ""
	}
	return wrong.explain(event)
}

// wrong gives a part that is false; nil when there is none. CEL is asked about what is not known without it only when
// everything else is true.
func (c *Criteria) wrong(ctx context.Context, event map[string]any) (*part, error) {
	open := false
	for i := range c.parts {
		fits, known := c.parts[i].decide(event)
		if known && !fits {
			return &c.parts[i], nil
		}
		open = open || !known
	}
	if !open {
		return nil, nil //nolint:nilnil // none is false
	}
	return c.wrongByCEL(ctx, event)
}

func (c *Criteria) wrongByCEL(ctx context.Context, event map[string]any) (wrong *part, err error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	for i := range c.parts {
		p := &c.parts[i]
		if _, known := p.decide(event); known {
			continue
		}
		ok, partErr := p.match(ctx, event)
		if !ok && partErr == nil {
			return p, nil
		}
		if err == nil {
			err = partErr
		}
	}
	return nil, err
}

// decide tells whether the part is true, if that is known without CEL.
func (p *part) decide(event map[string]any) (fits, known bool) {
	if p.quick == nil {
		return false, false
	}
	return p.quick.decide(event)
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
