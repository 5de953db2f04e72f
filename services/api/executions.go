package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

func (s *Server) routeExecutions(a huma.API) {
	const tag = "Executions"
	register(s, a, accepted(op(http.MethodPost, "/executions", "request-execution", tag, "Run an action",
		http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge)), s.requestExecution)
	register(s, a, op(http.MethodGet, "/executions", "list-executions", tag, "List executions, newest first"), s.listExecutions)
	register(s, a, op(http.MethodGet, "/executions/{id}", "show-execution", tag, "Show an execution",
		http.StatusNotFound), s.showExecution)
	register(s, a, accepted(op(http.MethodPost, "/executions/{id}/cancel", "cancel-execution", tag,
		"Cancel an execution; one that has ended stays as it is", http.StatusNotFound)), s.cancelExecution)
	register(s, a, accepted(op(http.MethodPost, "/executions/{id}/retry", "retry-execution", tag,
		"Run the action of an ended execution again, with the same parameters, as a new execution",
		http.StatusNotFound, http.StatusConflict)), s.retryExecution)
}

type executionInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"Makes repeating the request safe: the same key is the same execution, for ever."`
	Body wire.ExecutionRequest
}

type executionOutput struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when this execution had been requested before"`
	Body     wire.ExecutionAccepted
}

func (s *Server) requestExecution(ctx context.Context, in *executionInput) (*executionOutput, error) {
	ready, err := s.defs.action(in.Body.Action)
	if err != nil {
		return nil, err
	}
	params, err := parameters(in.Body.Parameters)
	if err != nil {
		return nil, err
	}
	r, err := check(ctx, ready, params)
	if err != nil {
		return nil, err
	}
	r.By = "api"
	return s.request(ctx, r, in.Key)
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
	var faults schema.Faults
	switch {
	case errors.As(err, &faults):
		return r, unfit(wire.CodeInvalidParameters, "parameters", faults)
	case errors.Is(err, invocation.ErrTooLarge):
		detail := fmt.Sprintf("parameters take more than %d bytes", execution.MaxParameters)
		return r, problem(http.StatusRequestEntityTooLarge, wire.CodeTooLarge, detail, wire.FieldError{Field: "parameters", Message: detail})
	case errors.Is(err, invocation.ErrKey):
		return r, problem(http.StatusBadRequest, wire.CodeInvalidParameters, "parameters: the action's concurrency key cannot be computed for them: "+a.Spec.Concurrency.Key,
			wire.FieldError{Field: "parameters", Message: "the concurrency key cannot be computed"})
	}
	return r, err
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

// request makes sure that an execution is requested, once for each key.
func (s *Server) request(ctx context.Context, r execution.Request, key string) (*executionOutput, error) {
	r.ID = execution.NewID()
	if key != "" {
		r.ID = execution.DeriveKeyID(admin, key)
		if out, err := s.replay(ctx, r); out != nil || err != nil {
			return out, err
		}
	}
	done, err := onBus(ctx, s, func(ctx context.Context) (execution.Requested, error) { return s.facts.Request(ctx, r) })
	if err != nil {
		return nil, err
	}
	out := &executionOutput{Body: wire.ExecutionAccepted{ID: r.ID, Status: done.Status}}
	if done.Existed {
		out.Replayed = "true"
	}
	if done.Status == streams.Requested {
		out.Body.Position = s.position(ctx, r.ID, done.QueueSeq)
	}
	return out, nil
}

// replay answers a request whose key was used before, also long after its execution has left the bus. One that
// is only requested is requested again: who asked first may have died before it stood in line.
func (s *Server) replay(ctx context.Context, r execution.Request) (*executionOutput, error) {
	was, err := s.find(ctx, r.ID)
	if isNotFound(err) || isDatabaseDown(err) { // without history the bus alone has to remember
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if was.Action != r.Action || !sameJSON(was.Parameters, r.Parameters) {
		return nil, execution.ErrConflict
	}
	if was.Status == streams.Requested {
		return nil, nil
	}
	return &executionOutput{Replayed: "true", Body: wire.ExecutionAccepted{ID: was.ID, Status: was.Status, Position: new(int)}}, nil
}

// sameJSON compares documents, whatever their form. What is not known is taken for the same.
func sameJSON(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return true
	}
	x, errX := strictjson.Parse(a)
	y, errY := strictjson.Parse(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// ByID names an execution in the path.
type ByID struct {
	ID string `path:"id" doc:"The execution's id"`
}

func (s *Server) cancelExecution(ctx context.Context, in *ByID) (*reply[wire.Execution], error) {
	was, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if execution.Final(was.Status) {
		return answer(was), nil
	}
	now, err := onBus(ctx, s, func(ctx context.Context) (execution.State, error) {
		return s.facts.Cancel(ctx, was.Action, was.ID, admin)
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
	was, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !execution.Final(was.Status) {
		return nil, conflict(fmt.Sprintf("execution %s is %s; it can be run again when it has ended", was.ID, was.Status))
	}
	ready, err := s.defs.action(was.Action)
	if err != nil {
		return nil, err
	}
	params, err := parameters(was.Parameters)
	if err != nil {
		return nil, err
	}
	r, err := check(ctx, ready, params)
	if err != nil {
		return nil, err
	}
	r.By, r.RetryOf = "retry", was.ID
	return s.request(ctx, r, in.Key)
}
