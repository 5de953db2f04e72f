package expression

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	maxSource  = 8 << 10               // characters of an expression's text; checking these takes 0.2 s at worst
	maxNesting = 60                    // depth of an expression
	costLimit  = 200_000               // a step costs about 50 ns
	deadline   = 50 * time.Millisecond // only ever reached when the cost limit misjudges
)

// EventFields are the fields of the variable event.
var EventFields = []string{"id", "trigger", "time", "source", "payload"}

// environments holds one environment for each set of variables; making one takes a millisecond.
var environments sync.Map // of string to func() (*cel.Env, error)

// environment gives the environment in which an expression may use the variable.
func environment(variable string) (*cel.Env, error) {
	made, _ := environments.LoadOrStore(variable, sync.OnceValues(func() (*cel.Env, error) {
		return newEnvironment(variable)
	}))
	return made.(func() (*cel.Env, error))()
}

func newEnvironment(variable string) (*cel.Env, error) {
	// The standard matches takes time without bounds; functions declares one that does not.
	std := env.NewLibrarySubset().AddExcludedFunctions(&env.Function{Name: "matches"})
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(std)),
		cel.OptionalTypes(),
		cel.CustomTypeAdapter(adapter{types.DefaultTypeAdapter}),
		cel.CrossTypeNumericComparisons(true),
		cel.EnableMacroCallTracking(),
		cel.ParserExpressionSizeLimit(maxSource),
		cel.ParserRecursionLimit(maxNesting),
		cel.Variable(variable, cel.MapType(cel.StringType, cel.DynType)),
	}
	made, err := cel.NewCustomEnv(append(options, functions()...)...)
	if err != nil {
		return nil, err
	}
	// The first unknown name makes the checker list all names, unguarded against other goroutines: do it here.
	_, issues := made.Compile("unknown")
	if issues.Err() == nil {
		return nil, errors.New("environment knows the name unknown")
	}
	return made, nil
}

// compile parses and checks an expression over one variable.
func compile(variable, source string) (e *cel.Env, checked *cel.Ast, err error) {
	defer recovered(source, &err)
	e, err = environment(variable)
	if err != nil {
		return nil, nil, fmt.Errorf("expression environment: %w", err)
	}
	checked, issues := e.Compile(source)
	if issues.Err() != nil {
		return nil, nil, mistakesOf(issues)
	}
	if ms := inspect(checked); len(ms) > 0 {
		return nil, nil, ms
	}
	return e, checked, nil
}

// inspect finds the mistakes that CEL's own checker cannot see: fields that no event has, patterns that do not compile.
func inspect(checked *cel.Ast) Mistakes {
	var ms Mistakes
	native := checked.NativeRep()
	complain := func(id int64, message string) {
		at := native.SourceInfo().GetStartLocation(id)
		ms = append(ms, Mistake{Line: max(at.Line(), 1), Column: max(at.Column(), 0) + 1, Message: message})
	}
	ast.PostOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			inspectSelect(e, complain)
		case ast.CallKind:
			inspectCall(e, complain)
		default: // other kinds hold nothing that the checker has not seen
		}
	}))
	return ms
}

func inspectSelect(e ast.Expr, complain func(int64, string)) {
	s := e.AsSelect()
	if s.Operand().Kind() != ast.IdentKind || s.Operand().AsIdent() != "event" {
		return
	}
	for _, known := range EventFields {
		if known == s.FieldName() {
			return
		}
	}
	complain(e.ID(), fmt.Sprintf("an event has no field %q; it has %v", s.FieldName(), EventFields))
}

func inspectCall(e ast.Expr, complain func(int64, string)) {
	call := e.AsCall()
	if call.FunctionName() != "matches" || len(call.Args()) == 0 {
		return
	}
	pattern := call.Args()[len(call.Args())-1]
	if pattern.Kind() != ast.LiteralKind {
		return
	}
	if text, ok := pattern.AsLiteral().(types.String); ok {
		if _, err := regexp.Compile(string(text)); err != nil {
			complain(pattern.ID(), err.Error())
		}
	}
}

// program is an expression that is ready to be evaluated.
type program struct {
	text     string // for messages
	variable string
	cel      cel.Program
}

func newProgram(e *cel.Env, checked *cel.Ast, variable, text string) (made program, err error) {
	defer recovered(text, &err)
	p, err := e.Program(checked,
		cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit), cel.CostTracking(costs{}),
		cel.InterruptCheckFrequency(10))
	if err != nil {
		return program{}, Mistakes{{Line: 1, Column: 1, Message: err.Error()}}
	}
	return program{text: strings.TrimSpace(text), variable: variable, cel: p}, nil
}

func compileProgram(variable, source string) (program, error) {
	e, checked, err := compile(variable, source)
	if err != nil {
		return program{}, err
	}
	return newProgram(e, checked, variable, source)
}

// recovered makes an error of a panic in the library. Fuzzing found one: a map literal with bytes as key.
func recovered(text string, err *error) {
	if r := recover(); r != nil {
		*err = Mistakes{{Line: 1, Column: 1, Message: fmt.Sprintf("%s: cannot be compiled: %v", clip(text, maxQuoted), r)}}
	}
}

// eval runs the program on the variable's value. ctx already carries the deadline.
func (p program) eval(ctx context.Context, value any) (ref.Val, error) {
	v, _, err := p.cel.ContextEval(ctx, map[string]any{p.variable: value})
	if err != nil {
		return nil, evaluationError(p.text, err)
	}
	return v, nil
}
