package history

import (
	"encoding/json"
	"time"

	"github.com/attune/attune/streams"
)

// Execution is what is known of an execution: its newest fact, with the parameters of its request.
type Execution struct {
	ID          string          `json:"id" db:"id"`
	Action      string          `json:"action" db:"action"`
	PackDigest  string          `json:"pack_digest" db:"pack_digest"`
	Status      streams.Status  `json:"status" db:"status"`
	Attempt     int             `json:"attempt" db:"attempt"`
	ChangedAt   time.Time       `json:"changed_at" db:"changed_at"`
	RequestedAt time.Time       `json:"requested_at" db:"requested_at"`
	RequestedBy string          `json:"requested_by,omitempty" db:"requested_by"`
	Key         string          `json:"key,omitempty" db:"key"`
	Limit       int             `json:"limit,omitempty" db:"slot_limit"`
	Pool        string          `json:"pool,omitempty" db:"pool"`
	Rule        string          `json:"rule,omitempty" db:"rule"`
	Event       string          `json:"event,omitempty" db:"event_id"`
	RetryOf     string          `json:"retry_of,omitempty" db:"retry_of"`
	Hops        int             `json:"hops,omitempty" db:"hops"`
	Parameters  json.RawMessage `json:"parameters,omitempty" db:"parameters"` // left out of lists when large

	Runner     string          `json:"runner,omitempty" db:"runner"`
	StartedAt  *time.Time      `json:"started_at,omitempty" db:"started_at"`
	EndedAt    *time.Time      `json:"ended_at,omitempty" db:"ended_at"`
	ExitCode   *int            `json:"exit_code,omitempty" db:"exit_code"`
	Signal     string          `json:"signal,omitempty" db:"signal"`
	Result     json.RawMessage `json:"result,omitempty" db:"result"` // left out of lists when large
	Error      *streams.Error  `json:"error,omitempty" db:"-"`
	Output     streams.Output  `json:"output" db:"-"`
	CanceledBy string          `json:"canceled_by,omitempty" db:"canceled_by"`

	Priority  streams.Priority  `json:"priority" db:"priority"`
	NotBefore *time.Time        `json:"not_before,omitempty" db:"not_before"`
	Previous  []streams.Attempt `json:"previous,omitempty" db:"previous"` // the attempts before this one, oldest first
	Terms     Terms             `json:"terms,omitzero" db:"terms"`

	LogSettledAt *time.Time `json:"log_settled_at,omitempty" db:"log_settled_at"` // from then on nothing is added to the log
	LogRemovedAt *time.Time `json:"log_removed_at,omitempty" db:"log_removed_at"`
	LogRemovedBy string     `json:"log_removed_by,omitempty" db:"log_removed_by"` // the policy that had it removed
}

// Terms are what the action and the requester said of admission and retries.
type Terms struct {
	Admission streams.Admission `json:"admission,omitzero"`
	Retry     *streams.Retry    `json:"retry,omitempty"`
}

// Fact gives the execution's state in the form it has on the bus, as far as history keeps it.
func (e Execution) Fact() streams.Fact {
	f := streams.Fact{
		Version: streams.Version, ID: e.ID, Action: e.Action, PackDigest: e.PackDigest, Status: e.Status, Attempt: e.Attempt,
		At: e.ChangedAt, RequestedAt: e.RequestedAt, RequestedBy: e.RequestedBy, Key: e.Key, Limit: e.Limit, Pool: e.Pool,
		Rule: e.Rule, Event: e.Event, RetryOf: e.RetryOf, Hops: e.Hops, Parameters: e.Parameters,
		Runner: e.Runner, StartedAt: e.StartedAt, EndedAt: e.EndedAt, ExitCode: e.ExitCode, Signal: e.Signal,
		Result: e.Result, Error: e.Error, By: e.CanceledBy,
		Admission: e.Terms.Admission, Retry: e.Terms.Retry, NotBefore: e.NotBefore, Previous: e.Previous,
	}
	if e.Output != (streams.Output{}) {
		f.Output = &e.Output
	}
	return f
}

// ExecutionFilter chooses executions. Empty fields choose all.
type ExecutionFilter struct {
	Action   string
	Statuses []streams.Status
	Rule     string
	Event    string    // the event's id
	Since    time.Time // requested then or later
	Until    time.Time // requested before
	Packs    []string  // of an action in one of these packs; nil means any
}

// Page says which part of a list is wanted.
type Page struct {
	Cursor string // "" for the first
	Limit  int    // 0 means DefaultLimit; at most MaxLimit
}

// Sizes of pages.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// Executions is one page of a list, newest first.
type Executions struct {
	Items []Execution
	Next  string // cursor of the next page; "" when this is the last
}

// UnfinishedFilter chooses executions that history has not seen end. Empty fields choose all.
type UnfinishedFilter struct {
	Action   string
	Rule     string
	Statuses []streams.Status
	Before   time.Time // requested before
	Packs    []string  // of an action in one of these packs; nil means any
}

// Unfinished is an execution that history knows and has not seen end.
type Unfinished struct {
	ID      string         `db:"id"`
	Action  string         `db:"action"`
	Status  streams.Status `db:"status"`
	Attempt int            `db:"attempt"`
}
