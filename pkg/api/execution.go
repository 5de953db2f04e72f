package api

import (
	"encoding/json"
	"time"

	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

// ExecutionRequest asks for an action to be run.
type ExecutionRequest struct {
	Action     string           `json:"action" doc:"The action, as pack.name." example:"core.echo"`
	Parameters json.RawMessage  `json:"parameters,omitempty" doc:"An object that fits the action's schema; its defaults are filled in."`
	Priority   streams.Priority `json:"priority,omitempty" enum:"high,normal,low" doc:"Its place among the waiting of the same queue; normal when absent."`
}

// ExecutionAccepted is the answer to a request for an execution.
type ExecutionAccepted struct {
	ID               string         `json:"id" format:"uuid"`
	Status           streams.Status `json:"status"`
	Position         *int           `json:"position" doc:"Place in the action's line: 1 is next, 0 means started; null when no scheduler answered in time."`
	EstimatedStartAt *time.Time     `json:"estimated_start_at,omitempty" doc:"Absent when there is nothing to go by, or its queue is paused."`
	EstimateError    *float64       `json:"estimate_error,omitempty" doc:"How far recent estimates of this queue were off, as a part of the wait: 0.2 is a fifth."`
}

// Execution is one request to run an action, and what became of it.
type Execution struct {
	ID          string            `json:"id" format:"uuid"`
	Action      string            `json:"action"`
	Status      streams.Status    `json:"status" enum:"requested,running,canceling,succeeded,failed,timed_out,canceled,lost"`
	Attempt     int               `json:"attempt" doc:"From 1."`
	Parameters  json.RawMessage   `json:"parameters,omitempty" doc:"Absent in stream items after the first fact and in lists."`
	Result      json.RawMessage   `json:"result,omitempty"`
	Error       *streams.Error    `json:"error,omitempty"`
	ExitCode    *int              `json:"exit_code,omitempty"`
	Signal      string            `json:"signal,omitempty"`
	Priority    streams.Priority  `json:"priority,omitempty" enum:"high,normal,low"`
	NotBefore   *time.Time        `json:"not_before,omitempty" doc:"When an attempt after the first may start at the earliest, while it waits."`
	Previous    []streams.Attempt `json:"previous,omitempty" doc:"How the attempts before this one ended, oldest first; the latest 20."`
	RequestedAt time.Time         `json:"requested_at"`
	RequestedBy string            `json:"requested_by,omitempty" doc:"Who asked: rule, or who called: admin, token:NAME or user:NAME."`
	StartedAt   *time.Time        `json:"started_at,omitempty"`
	EndedAt     *time.Time        `json:"ended_at,omitempty"`
	Runner      string            `json:"runner,omitempty"`
	Rule        string            `json:"rule,omitempty"`
	Event       string            `json:"event,omitempty"`
	RetryOf     string            `json:"retry_of,omitempty" doc:"The execution that was repeated with this one."`
	Key         string            `json:"key,omitempty" doc:"The concurrency key."`
	Pool        string            `json:"pool,omitempty"`
	PackDigest  string            `json:"pack_digest,omitempty"`
	CanceledBy  string            `json:"canceled_by,omitempty"`
	Output      *streams.Output   `json:"output,omitempty"`
	LogBytes    int64             `json:"log_bytes,omitempty" doc:"How long its log is, both streams together."`
	Incomplete  bool              `json:"log_incomplete,omitempty" doc:"Not all of its log could be stored when it ended."`
	RemovedAt   *time.Time        `json:"log_removed_at,omitempty" doc:"When retention removed its log."`
	RemovedBy   string            `json:"log_removed_by,omitempty" doc:"The policy that had its log removed."`
	Position    *int              `json:"position,omitempty" doc:"Place in line while it waits: 1 is next. Only where one execution is shown."`
	Queue       *QueuePlace       `json:"queue,omitempty" doc:"Its place in line while it waits, with an estimate. Only where one execution is shown."`
}

// FromFact makes an execution of the last fact on the bus. Parameters is what its requested fact held: facts
// do not repeat them.
func FromFact(f streams.Fact, parameters json.RawMessage) Execution {
	if parameters == nil {
		parameters = f.Parameters
	}
	priority := f.Priority
	if priority == "" {
		priority = streams.PriorityNormal
	}
	if f.Status != streams.Requested {
		f.NotBefore = nil // it has started
	}
	x := Execution{
		ID: f.ID, Action: f.Action, Status: f.Status, Attempt: f.Attempt, Parameters: parameters, Result: f.Result,
		Error: f.Error, ExitCode: f.ExitCode, Signal: f.Signal, RequestedAt: f.RequestedAt, RequestedBy: f.RequestedBy,
		StartedAt: f.StartedAt, EndedAt: f.EndedAt, Runner: f.Runner, Rule: f.Rule, Event: f.Event, RetryOf: f.RetryOf,
		Key: f.Key, Pool: placement.Pool(f.Pool), PackDigest: f.PackDigest, CanceledBy: f.By, Output: f.Output,
		Priority: priority, NotBefore: f.NotBefore, Previous: f.Previous,
	}
	if f.Output != nil {
		x.LogBytes, x.Incomplete = f.Output.LogBytes, f.Output.Incomplete
	}
	return x
}

// CancelRequest cancels all executions that fit it. At least one of Action, Rule, Statuses and OlderThan is
// needed, or All.
type CancelRequest struct {
	Action    string           `json:"action,omitempty" doc:"Only this action's, as pack.name."`
	Rule      string           `json:"rule,omitempty" doc:"Only this rule's, as pack.name."`
	Statuses  []streams.Status `json:"statuses,omitempty" doc:"Of requested and running; both when absent." example:"[\"requested\"]"`
	OlderThan string           `json:"older_than,omitempty" doc:"Only those requested longer ago than this, such as 1h, or before this time." example:"1h"`
	All       bool             `json:"all,omitempty" doc:"Says that all are meant, where nothing else narrows it."`
	DryRun    bool             `json:"dry_run,omitempty" doc:"Only count."`
	Limit     int              `json:"limit,omitempty" minimum:"1" maximum:"500" doc:"How many to look at in this call at most; 500 when absent."`
	Cursor    string           `json:"cursor,omitempty" doc:"next_cursor of the call before, which goes on where that one stopped."`
}

// CancelResult is how far canceling has come. The newest of the waiting come first and those that run last, so
// that none starts that is about to be canceled.
type CancelResult struct {
	Matched    int    `json:"matched" doc:"How many fitted when the call began, from its cursor on."`
	Canceled   int    `json:"canceled" doc:"How many this call canceled; others had ended already."`
	Remaining  int    `json:"remaining" doc:"How many the call did not come to."`
	NextCursor string `json:"next_cursor,omitempty" doc:"Give it as cursor, with the same filter, to go on; absent when all are done."`
}
