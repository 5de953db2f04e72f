package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

// historyPatience is how long history may take before the bus is asked instead.
const historyPatience = 3 * time.Second

type executionFilter struct {
	Paging
	Action string `query:"action"`
	Status string `query:"status" doc:"One or more statuses, separated by commas"`
	Rule   string `query:"rule"`
	Event  string `query:"event" doc:"Id of the event that led to it"`
	Since  string `query:"since" doc:"Requested then or later: a time, or how long ago"`
	Until  string `query:"until" doc:"Requested before: a time, or how long ago"`
}

func (s *Server) listExecutions(ctx context.Context, in *executionFilter) (*reply[wire.Page[wire.Execution]], error) {
	since, until, err := period(in.Since, in.Until)
	if err != nil {
		return nil, err
	}
	statuses, err := parseStatuses(in.Status)
	if err != nil {
		return nil, err
	}
	if in.Event != "" && !isID(in.Event) {
		return nil, invalid("event", "want an event's id")
	}
	found, err := s.history.ListExecutions(ctx, history.ExecutionFilter{
		Action: in.Action, Statuses: statuses, Rule: in.Rule, Event: in.Event, Since: since, Until: until,
		Packs: s.reach(ctx, access.View, access.Executions).Packs(),
	}, in.page())
	if err != nil {
		return nil, err
	}
	page := wire.Page[wire.Execution]{Items: make([]wire.Execution, len(found.Items)), NextCursor: found.Next}
	for i, e := range found.Items {
		page.Items[i] = fromHistory(e)
	}
	return answer(page), nil
}

func parseStatuses(text string) ([]streams.Status, error) {
	if text == "" {
		return nil, nil
	}
	var out []streams.Status
	for name := range strings.SplitSeq(text, ",") {
		status := streams.Status(strings.TrimSpace(name))
		if !slices.Contains(execution.Statuses(), status) {
			return nil, invalid("status", "there is no status "+clip(name))
		}
		out = append(out, status)
	}
	return out, nil
}

func (s *Server) showExecution(ctx context.Context, in *ByID) (*reply[wire.Execution], error) {
	e, err := s.seen(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if e.Status == streams.Requested {
		if p, err := s.position(ctx, e.ID, 0); err == nil && p.Known { // without an answer it is shown without its place
			e.Position = &p.Position
			e.Queue = &wire.QueuePlace{Position: p.Position, EstimatedStartAt: p.EstimatedStartAt, EstimateError: p.EstimateError}
		}
	}
	return answer(e), nil
}

// seen gives an execution that the caller may see.
func (s *Server) seen(ctx context.Context, id string) (wire.Execution, error) {
	e, err := s.find(ctx, id)
	if err != nil {
		return e, err
	}
	view := access.Right{Verb: access.View, Kind: access.Executions}
	return e, s.admitTo(ctx, view, e.Action, notFound("execution", id))
}

// find gives an execution as it is now, whoever asks: from history when it has ended there, otherwise from the bus, which is
// ahead of history and answers when the database does not.
func (s *Server) find(ctx context.Context, id string) (wire.Execution, error) {
	if !isID(id) {
		return wire.Execution{}, notFound("execution", id)
	}
	past, err := s.past(ctx, id)
	if err == nil && execution.Final(past.Status) {
		return past, nil
	}
	now, busErr := onBus(ctx, s, func(ctx context.Context) (wire.Execution, error) { return s.present(ctx, id, past) })
	switch {
	case busErr == nil:
		return now, nil
	case err == nil && isNotFound(busErr):
		return past, nil // its facts have left the bus
	case isNotFound(busErr) && errors.Is(err, history.ErrNotFound):
		return wire.Execution{}, notFound("execution", id)
	case isNotFound(busErr):
		return wire.Execution{}, err // it may be in the history that cannot be read
	}
	return wire.Execution{}, busErr
}

// past is what history knows.
func (s *Server) past(ctx context.Context, id string) (wire.Execution, error) {
	ctx, cancel := context.WithTimeout(ctx, historyPatience)
	defer cancel()
	e, err := s.history.Execution(ctx, id)
	if err != nil {
		return wire.Execution{}, err
	}
	return fromHistory(e), nil
}

// present is what the bus knows. An execution whose action is known costs less to look up.
func (s *Server) present(ctx context.Context, id string, past wire.Execution) (wire.Execution, error) {
	last, err := s.last(ctx, id, past.Action)
	if err != nil {
		return wire.Execution{}, err
	}
	params := past.Parameters
	if params == nil {
		if params, err = s.parametersOf(ctx, last); err != nil {
			return wire.Execution{}, err
		}
	}
	return wire.FromFact(last.Fact, params), nil
}

func (s *Server) last(ctx context.Context, id, action string) (execution.State, error) {
	if action == "" {
		return s.facts.Find(ctx, id)
	}
	return s.facts.Last(ctx, action, id)
}

// parametersOf gives what the execution was requested with, which only its first fact holds.
func (s *Server) parametersOf(ctx context.Context, last execution.State) (json.RawMessage, error) {
	if last.Parameters != nil {
		return last.Parameters, nil
	}
	first, err := s.facts.First(ctx, last.Action, last.ID)
	if isNotFound(err) {
		return nil, nil
	}
	return first.Parameters, err
}

func isNotFound(err error) bool {
	var p *wire.Problem
	return errors.Is(err, execution.ErrNotFound) || errors.Is(err, history.ErrNotFound) ||
		errors.As(err, &p) && p.Code == wire.CodeNotFound
}

// isID tells whether text has the form of an id; others are not looked up.
func isID(text string) bool {
	_, err := uuid.Parse(text)
	return err == nil && len(text) == 36
}
