package expression

import (
	"context"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// variableParams is the variable of keys.
const variableParams = "params"

// maxKey bounds a key, in bytes. Subjects and buckets hold long keys by their digest; the text itself travels in a
// header and stands in every answer about its queue.
const maxKey = 16 << 10

// Key gives the concurrency key of an execution, or the once_per key of an event. It is safe for concurrent use.
type Key struct {
	program program
	reads   [][]any
}

// NewKey compiles a CEL expression over the variable params. Its error is of type Mistakes.
func NewKey(source string) (*Key, error) { return newKey(variableParams, source) }

// NewEventKey compiles a CEL expression over the variable event. Its error is of type Mistakes.
func NewEventKey(source string) (*Key, error) { return newKey(variableEvent, source) }

func newKey(variable, source string) (*Key, error) {
	e, checked, err := compile(variable, source)
	if err != nil {
		return nil, err
	}
	p, err := newProgram(e, checked, variable, source)
	if err != nil {
		return nil, err
	}
	return &Key{program: p, reads: readsOf(checked, variable)}, nil
}

// Eval gives the key for these parameters, or for this event: a text, or a number or boolean as text.
func (k *Key) Eval(ctx context.Context, of map[string]any) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	v, err := k.program.eval(ctx, of)
	if err != nil {
		return "", err
	}
	switch v.(type) {
	case types.String, types.Int, types.Uint, types.Double, types.Bool, wide:
	default:
		return "", evaluationError(k.program.text, fmt.Errorf("a key must be text, not %s", v.Type().TypeName()))
	}
	plain, err := new(converter).native(v)
	if err != nil {
		return "", evaluationError(k.program.text, err)
	}
	if key := inText(plain); len(key) <= maxKey {
		return key, nil
	}
	return "", evaluationError(k.program.text, fmt.Errorf("key is %s: more than %d bytes", errTooLarge, maxKey))
}

// Reads gives the places of its variable that the key looks at, as keys and indexes from the top. An empty one means
// that it looks at more than can be told.
func (k *Key) Reads() [][]any { return k.reads }

// readsOf finds where an expression mentions a variable, and how far its path is known from there.
func readsOf(checked *cel.Ast, variable string) (reads [][]any) {
	root := ast.NavigateAST(checked.NativeRep())
	for _, ident := range ast.MatchDescendants(root, ast.KindMatcher(ast.IdentKind)) {
		if ident.AsIdent() == variable {
			reads = append(reads, pathFrom(ident))
		}
	}
	return reads
}

// pathFrom follows constant fields and indexes.
func pathFrom(at ast.NavigableExpr) []any {
	out := []any{}
	for {
		parent, ok := at.Parent()
		if !ok {
			return out
		}
		step, ok := stepInto(parent, at)
		if !ok {
			return out
		}
		out, at = append(out, step), parent
	}
}

// stepInto gives the constant field or index of an expression that takes a part of another one.
func stepInto(whole, from ast.Expr) (any, bool) {
	switch whole.Kind() {
	case ast.SelectKind:
		return whole.AsSelect().FieldName(), true
	case ast.CallKind:
		call := whole.AsCall()
		if !takesPart(call) || call.Args()[0].ID() != from.ID() {
			return nil, false
		}
		switch key := call.Args()[1].AsLiteral().(type) {
		case types.String:
			return string(key), true
		case types.Int:
			return int(key), true
		}
	default:
	}
	return nil, false
}
