package expression

import (
	"context"
	"fmt"

	"cel.dev/cel-go/common/types"
)

// variableParams is the variable of keys.
const variableParams = "params"

// maxKey bounds a key, in bytes.
const maxKey = 256

// Key gives the concurrency key of an execution. It is safe for concurrent use.
type Key struct {
	program program
}

// NewKey compiles a CEL expression over the variable params. Its error is of type Mistakes.
func NewKey(source string) (*Key, error) {
	p, err := compileProgram(variableParams, source)
	if err != nil {
		return nil, err
	}
	return &Key{program: p}, nil
}

// Eval gives the key that an execution with these parameters has: a text, or a number or boolean as text.
func (k *Key) Eval(ctx context.Context, params map[string]any) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	v, err := k.program.eval(ctx, params)
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
