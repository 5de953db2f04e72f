// Package invocation turns parameters into a request to run an action.
//
// Rules and the API request executions in the same way: defaults are filled in, the parameters are checked
// against the action's schema, the concurrency key is computed, and what the action says of its start and of
// further attempts is put down. It guarantees that no value of a secret parameter is in a request, only what stands
// for it, and that a request made here has
// parameters that fit and a key of its own queue: parameters for which the key cannot be computed are refused,
// they never fall into a shared queue.
package invocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/streams"
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
	pool   string          // the token of its placement
}

// Compile makes an installed action ready.
func Compile(a definitions.Action) (*Action, error) {
	c := &Action{Action: a, Ref: pack.Ref{Pack: a.Pack, Name: a.Spec.Name}}
	c.pool = placement.Token(c.Placement())
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

// Request checks the parameters and makes the request, without an id, without a priority and without saying who
// asks. Parameters that the schema says are secret must be markers. It returns
// schema.Faults naming every parameter that does not fit, ErrKey, or ErrTooLarge.
func (a *Action) Request(ctx context.Context, params map[string]any) (execution.Request, error) {
	params = a.complete(params)
	if err := marker.Fits(a.schema, params); err != nil {
		return execution.Request{}, err
	}
	if err := marker.Conceals(a.schema, params); err != nil {
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
		Limit: a.Spec.Concurrency.Limit, Pool: a.pool, Retry: a.Spec.Retry.Wire(), Admission: a.admission(),
	}, nil
}

// complete gives the parameters with the schema's defaults.
func (a *Action) complete(params map[string]any) map[string]any {
	if params = a.schema.WithDefaults(params); params == nil {
		return map[string]any{}
	}
	return params
}

// admission is what the action says of when its executions may start. The priority is the requester's to say.
func (a *Action) admission() streams.Admission {
	return streams.Admission{
		PackLimit: a.PackLimit, Rate: a.Spec.Rate.String(), QueueTimeoutSeconds: time.Duration(a.Spec.QueueTimeout).Seconds(),
		Reject: a.Spec.Concurrency.OnFull == pack.OnFullReject,
	}
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

// Placement is what the action asks of its runner.
func (a *Action) Placement() streams.Placement { return placement.Of(a.Ranges, a.Spec) }
