package api

import (
	"encoding/json"
	"time"

	"github.com/attune/attune/streams"
)

// ExecutionRequest asks for an action to be run.
type ExecutionRequest struct {
	Action     string          `json:"action" doc:"The action, as pack.name." example:"core.echo"`
	Parameters json.RawMessage `json:"parameters,omitempty" doc:"An object that fits the action's schema; its defaults are filled in."`
}

// ExecutionAccepted is the answer to a request for an execution.
type ExecutionAccepted struct {
	ID       string         `json:"id" format:"uuid"`
	Status   streams.Status `json:"status"`
	Position *int           `json:"position" doc:"Place in the action's line: 1 is next, 0 means started; null when no scheduler answered in time."`
}

// Execution is one request to run an action, and what became of it.
type Execution struct {
	ID          string          `json:"id" format:"uuid"`
	Action      string          `json:"action"`
	Status      streams.Status  `json:"status" enum:"requested,running,canceling,succeeded,failed,timed_out,canceled,lost"`
	Attempt     int             `json:"attempt" doc:"From 1."`
	Parameters  json.RawMessage `json:"parameters,omitempty" doc:"Absent in stream items after the first fact and in lists."`
	Result      json.RawMessage `json:"result,omitempty"`
	Error       *streams.Error  `json:"error,omitempty"`
	ExitCode    *int            `json:"exit_code,omitempty"`
	Signal      string          `json:"signal,omitempty"`
	RequestedAt time.Time       `json:"requested_at"`
	RequestedBy string          `json:"requested_by,omitempty" doc:"api, rule or retry."`
	StartedAt   *time.Time      `json:"started_at,omitempty"`
	EndedAt     *time.Time      `json:"ended_at,omitempty"`
	Runner      string          `json:"runner,omitempty"`
	Rule        string          `json:"rule,omitempty"`
	Event       string          `json:"event,omitempty"`
	RetryOf     string          `json:"retry_of,omitempty" doc:"The execution that was repeated with this one."`
	Key         string          `json:"key,omitempty" doc:"The concurrency key."`
	Pool        string          `json:"pool,omitempty"`
	PackDigest  string          `json:"pack_digest,omitempty"`
	CanceledBy  string          `json:"canceled_by,omitempty"`
	Output      *streams.Output `json:"output,omitempty"`
	Position    *int            `json:"position,omitempty" doc:"Place in line while it waits: 1 is next. Only where one execution is shown."`
}

// FromFact makes an execution of the last fact on the bus. Parameters is what its requested fact held: facts
// do not repeat them.
func FromFact(f streams.Fact, parameters json.RawMessage) Execution {
	if parameters == nil {
		parameters = f.Parameters
	}
	return Execution{
		ID: f.ID, Action: f.Action, Status: f.Status, Attempt: f.Attempt, Parameters: parameters, Result: f.Result,
		Error: f.Error, ExitCode: f.ExitCode, Signal: f.Signal, RequestedAt: f.RequestedAt, RequestedBy: f.RequestedBy,
		StartedAt: f.StartedAt, EndedAt: f.EndedAt, Runner: f.Runner, Rule: f.Rule, Event: f.Event, RetryOf: f.RetryOf,
		Key: f.Key, Pool: f.Pool, PackDigest: f.PackDigest, CanceledBy: f.By, Output: f.Output,
	}
}
