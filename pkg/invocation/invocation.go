// Package invocation turns parameters into a request to run an action.
//
// Rules and the API request executions in the same way: defaults are filled in, the parameters are checked
// against the action's schema, the concurrency key is computed. It guarantees that a request made here has
// parameters that fit and a key of its own queue: parameters for which the key cannot be computed are refused,
// they never fall into a shared queue.
package invocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schema"
)

var (
	// ErrKey is returned when the concurrency key cannot be computed for the parameters.
	ErrKey = errors.New("concurrency key cannot be computed")
	// ErrTooLarge is returned when the parameters take more than execution.MaxParameters.
	ErrTooLarge = errors.New("parameters are too large")
)

// Action is an installed action, ready to be requested.
type Action struct {
	definitions.Action
	Ref    pack.Ref
	schema *schema.Schema
	key    *expression.Key // nil: one queue for the action
}

// Compile makes an installed action ready.
func Compile(a definitions.Action) (*Action, error) {
	c := &Action{Action: a, Ref: pack.Ref{Pack: a.Pack, Name: a.Spec.Name}}
	var err error
	if raw := a.Spec.Parameters; len(raw) > 0 {
		if c.schema, err = schema.Compile(raw); err != nil {
			return nil, fmt.Errorf("action %s: schema of parameters: %w", c.Ref, err)
		}
	}
	if src := a.Spec.Concurrency.Key; src != "" {
		if c.key, err = expression.NewKey(src); err != nil {
			return nil, fmt.Errorf("action %s: concurrency key: %w", c.Ref, err)
		}
	}
	return c, nil
}

// Request checks the parameters and makes the request, without an id and without saying who asks. It returns
// schema.Faults naming every parameter that does not fit, ErrKey, or ErrTooLarge.
func (a *Action) Request(ctx context.Context, params map[string]any) (execution.Request, error) {
	params = a.schema.WithDefaults(params)
	if params == nil {
		params = map[string]any{}
	}
	if err := a.schema.Validate(params); err != nil {
		return execution.Request{}, err
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return execution.Request{}, fmt.Errorf("action %s: encode parameters: %w", a.Ref, err)
	}
	if len(raw) > execution.MaxParameters {
		return execution.Request{}, fmt.Errorf("action %s: %d bytes, at most %d: %w", a.Ref, len(raw), execution.MaxParameters, ErrTooLarge)
	}
	key, err := a.queueKey(ctx, params)
	if err != nil {
		return execution.Request{}, err
	}
	return execution.Request{
		Action: a.Ref.String(), PackDigest: a.Digest, Parameters: raw, Key: key,
		Limit: a.Spec.Concurrency.Limit, Pool: a.pool(),
	}, nil
}

func (a *Action) queueKey(ctx context.Context, params map[string]any) (string, error) {
	if a.key == nil {
		return "", nil
	}
	key, err := a.key.Eval(ctx, params)
	if err != nil {
		return "", fmt.Errorf("action %s: %s: %w: %w", a.Ref, a.Spec.Concurrency.Key, ErrKey, err)
	}
	return key, nil
}

func (a *Action) pool() string {
	if a.Spec.Pool == "" {
		return pack.DefaultPool
	}
	return a.Spec.Pool
}
