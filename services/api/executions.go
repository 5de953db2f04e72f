package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/strictjson"
)

func (s *Server) routeExecutions(a huma.API) {
	const tag = "Executions"
	request := accepted(op(mayOne(access.Run, access.Actions), http.MethodPost, "/executions", "request-execution", tag, "Run an action",
		http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge))
	request.Description = requestNote
	register(s, a, request, s.requestExecution)
	register(s, a, op(mayList(access.View, access.Executions), http.MethodGet, "/executions", "list-executions", tag, "List executions, newest first"), s.listExecutions)
	register(s, a, op(mayOne(access.View, access.Executions), http.MethodGet, "/executions/{id}", "show-execution", tag, "Show an execution",
		http.StatusNotFound), s.showExecution)
	register(s, a, accepted(op(mayOne(access.Operate, access.Executions), http.MethodPost, "/executions/{id}/cancel", "cancel-execution", tag,
		"Cancel an execution; one that has ended stays as it is", http.StatusNotFound)), s.cancelExecution)
	cancel := op(mayList(access.Operate, access.Executions), http.MethodPost, "/executions/cancel", "cancel-executions", tag, "Cancel all executions that fit")
	cancel.Description = cancelNote
	register(s, a, cancel, s.cancelMatching)
	register(s, a, accepted(op(mayOne(access.Run, access.Actions), http.MethodPost, "/executions/{id}/retry", "retry-execution", tag,
		"Run the action of an ended execution again, with the same parameters, as a new execution",
		http.StatusNotFound, http.StatusConflict)), s.retryExecution)
}

const requestNote = "409 is a conflict of the Idempotency-Key (conflict), an action that starts at once or not at all and cannot start now (queue_full), " +
	"or a queue that takes nothing new (queue_draining). The latter two say in queue how it stands, and in execution which one was made and ended at once, if any."

type executionInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"Makes repeating the request safe: the same key is the same execution, for ever."`
	Body wire.ExecutionRequest
}

type executionOutput struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when this execution had been requested before"`
	Body     wire.ExecutionAccepted
}

func (s *Server) requestExecution(ctx context.Context, in *executionInput) (*executionOutput, error) {
	ready, err := s.runnable(ctx, in.Body.Action)
	if err != nil {
		return nil, err
	}
	params, err := parameters(in.Body.Parameters)
	if err != nil {
		return nil, err
	}
	refers := referring{doc: params, home: ready.Pack, field: "parameters", code: wire.CodeInvalidParameters, kinds: []marker.Kind{marker.Named, marker.OfUser}}
	if err := s.mayRefer(ctx, refers); err != nil {
		return nil, err
	}
	r, values, err := s.split(ctx, ready, params)
	if err != nil {
		return nil, err
	}
	r.By, r.Priority = caller(ctx), in.Body.Priority
	return s.request(ctx, ready, r, values, in.Key)
}

// runnable gives an action that the caller may run, with all the secrets that it declares.
func (s *Server) runnable(ctx context.Context, ref string) (*invocation.Action, error) {
	absent := notFound("action", ref)
	if err := s.admitTo(ctx, access.Right{Verb: access.Run, Kind: access.Actions}, ref, absent); err != nil {
		return nil, err
	}
	ready, err := s.defs.action(ref)
	if err != nil {
		return nil, err
	}
	return ready, s.admitSecrets(ctx, ready)
}

func parameters(raw json.RawMessage) (map[string]any, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return map[string]any{}, nil
	}
	m, err := strictjson.ParseObject(raw)
	if err != nil {
		return nil, misread(wire.CodeInvalidParameters, "parameters", err)
	}
	return m, nil
}

// misread says where a document inside the request cannot be read.
func misread(code, field string, err error) error {
	var at *strictjson.Error
	if !errors.As(err, &at) {
		return err
	}
	if at.Path != "" {
		field += "." + at.Path
	}
	return problem(http.StatusBadRequest, code, field+": "+at.Message, wire.FieldError{Field: field, Message: at.Message})
}

// check fits the parameters to the action and makes the request of them.
func check(ctx context.Context, a *invocation.Action, params map[string]any) (execution.Request, error) {
	r, err := a.Request(ctx, params)
	return r, refuseParameters(a, err)
}

// refuseParameters says what is wrong with parameters, where something is.
func refuseParameters(a *invocation.Action, err error) error {
	var faults schema.Faults
	switch {
	case errors.As(err, &faults):
		return unfit(wire.CodeInvalidParameters, "parameters", faults)
	case errors.Is(err, invocation.ErrTooLarge):
		detail := fmt.Sprintf("parameters take more than %d bytes", execution.MaxParameters)
		return problem(http.StatusRequestEntityTooLarge, wire.CodeTooLarge, detail, wire.FieldError{Field: "parameters", Message: detail})
	case errors.Is(err, invocation.ErrKey):
		return problem(http.StatusBadRequest, wire.CodeInvalidParameters, "parameters: the action's concurrency key cannot be computed for them: "+a.Spec.Concurrency.Key,
			wire.FieldError{Field: "parameters", Message: "the concurrency key cannot be computed"})
	}
	return err
}

// unfit names every field that does not fit a schema.
func unfit(code, prefix string, faults schema.Faults) *wire.Problem {
	fields := make([]wire.FieldError, len(faults))
	for i, f := range faults {
		fields[i] = wire.FieldError{Field: prefix, Message: f.Message}
		if len(f.Path) > 0 {
			fields[i].Field += "." + f.Field()
		}
	}
	detail := fields[0].String()
	if n := len(fields); n > 1 {
		detail = fmt.Sprintf("%s (and %d more)", detail, n-1)
	}
	return problem(http.StatusBadRequest, code, detail, fields...)
}

// ByID names an execution in the path.
type ByID struct {
	ID string `path:"id" doc:"The execution's id"`
}

func (s *Server) cancelExecution(ctx context.Context, in *ByID) (*reply[wire.Execution], error) {
	was, err := s.seen(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.admitTo(ctx, access.Right{Verb: access.Operate, Kind: access.Executions}, was.Action, notFound("execution", in.ID)); err != nil {
		return nil, err
	}
	if execution.Final(was.Status) {
		return answer(was), nil
	}
	now, err := onBus(ctx, s, func(ctx context.Context) (execution.State, error) {
		return s.facts.Cancel(ctx, was.Action, was.ID, caller(ctx))
	})
	if err != nil {
		return nil, err
	}
	return answer(wire.FromFact(now.Fact, was.Parameters)), nil
}

type retryInput struct {
	ByID
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"Makes repeating the request safe: the same key is the same execution, for ever."`
}

func (s *Server) retryExecution(ctx context.Context, in *retryInput) (*executionOutput, error) {
	was, err := s.seen(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	run := access.Right{Verb: access.Run, Kind: access.Actions}
	if err := s.admitTo(ctx, run, was.Action, notFound("execution", in.ID)); err != nil {
		return nil, err
	}
	if !execution.Final(was.Status) {
		return nil, conflict(fmt.Sprintf("execution %s is %s; it can be run again when it has ended", was.ID, was.Status))
	}
	ready, err := s.runnable(ctx, was.Action)
	if err != nil {
		return nil, err
	}
	params, err := parameters(was.Parameters)
	if err != nil {
		return nil, err
	}
	r, values, err := s.repeat(ctx, ready, was, params)
	if err != nil {
		return nil, err
	}
	return s.request(ctx, ready, r, values, in.Key)
}

// repeat makes the request of an execution again, with the same secrets. What its parameters refer to by name is that
// of the pack whose rule made them.
func (s *Server) repeat(ctx context.Context, a *invocation.Action, was wire.Execution, params map[string]any) (execution.Request, sealing, error) {
	refers := referring{
		doc: params, home: a.Pack, field: "parameters", code: wire.CodeInvalidParameters,
		kinds: []marker.Kind{marker.Named, marker.OfUser, marker.Sealed},
	}
	if rule, err := pack.ParseRef(was.Rule); err == nil {
		refers.home = rule.Pack
	}
	if err := s.mayRefer(ctx, refers); err != nil {
		return execution.Request{}, nil, err
	}
	r, values, err := s.split(ctx, a, params)
	if err != nil {
		return r, nil, err
	}
	r.By, r.RetryOf, r.Rule, r.Priority = caller(ctx), was.ID, was.Rule, was.Priority
	return r, values, s.again(ctx, was.ID, params, values)
}
