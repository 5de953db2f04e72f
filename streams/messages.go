package streams

import (
	"encoding/json"
	"time"
)

// Version is the version of every message below. A reader refuses a higher one.
const Version = 1

// Status is the state of an execution.
type Status string

// The statuses. Requested, Running and Canceling are passing; Lost is final unless the action retries.
const (
	Requested Status = "requested"
	Running   Status = "running"
	Canceling Status = "canceling"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	TimedOut  Status = "timed_out"
	Canceled  Status = "canceled"
	Lost      Status = "lost"
)

// Fact is one change of an execution's state, on the execution's own subject in EXECUTIONS.
// The last fact of a subject is the execution's state. Parameters travel only in requested facts;
// everything else that is known is repeated in each fact, so that a final fact is a whole record.
type Fact struct {
	Version     int       `json:"v"`
	ID          string    `json:"id"`
	Action      string    `json:"action"` // "pack.name"
	PackDigest  string    `json:"pack_digest"`
	Status      Status    `json:"status"`
	Attempt     int       `json:"attempt"` // from 1
	At          time.Time `json:"at"`      // when this change happened
	RequestedAt time.Time `json:"requested_at"`
	RequestedBy string    `json:"requested_by,omitempty"` // "api", "rule", "retry"

	Key     string `json:"key,omitempty"`   // concurrency key as given
	Limit   int    `json:"limit,omitempty"` // the action's limit when this was requested; 0: none
	Pool    string `json:"pool"`
	Rule    string `json:"rule,omitempty"`     // "pack.name"
	Event   string `json:"event,omitempty"`    // the event's id
	RetryOf string `json:"retry_of,omitempty"` // the execution that a user repeated with this one
	Hops    int    `json:"hops,omitempty"`     // how many rules led to this execution

	Parameters json.RawMessage `json:"parameters,omitempty"`

	Runner    string          `json:"runner,omitempty"`
	StartedAt *time.Time      `json:"started_at,omitempty"`
	EndedAt   *time.Time      `json:"ended_at,omitempty"`
	ExitCode  *int            `json:"exit_code,omitempty"`
	Signal    string          `json:"signal,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *Error          `json:"error,omitempty"`
	Output    *Output         `json:"output,omitempty"`
	By        string          `json:"by,omitempty"` // who canceled
}

// Error says why an execution did not succeed.
type Error struct {
	Class   string `json:"class"` // see the Class constants
	Message string `json:"message"`
}

// The classes of errors.
const (
	ClassExitStatus         = "exit_status"
	ClassSignal             = "signal"
	ClassTimeout            = "timeout"
	ClassCanceled           = "canceled"
	ClassSpawnFailed        = "spawn_failed"
	ClassBadResult          = "bad_result"
	ClassPackUnavailable    = "pack_unavailable"
	ClassSecretsUnavailable = "secrets_unavailable"
	ClassRunnerLost         = "runner_lost"
	ClassInternal           = "internal"
)

// Output counts what an execution wrote.
type Output struct {
	StdoutBytes int64 `json:"stdout_bytes"`
	StderrBytes int64 `json:"stderr_bytes"`
	Truncated   bool  `json:"truncated,omitempty"`
	Held        bool  `json:"held,omitempty"` // a process left behind kept the output open and was killed
}

// Run hands an admitted execution to a runner, on RUNS.
type Run struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
	Action  string `json:"action"`
	Attempt int    `json:"attempt"`
}

// Decision records what became of one event, on DECISIONS.
type Decision struct {
	Version  int            `json:"v"`
	EventID  string         `json:"event_id"`
	EventSeq uint64         `json:"event_seq"`
	Trigger  string         `json:"trigger"`
	At       time.Time      `json:"at"`
	Status   EventStatus    `json:"status"`
	Reason   string         `json:"reason,omitempty"` // why it was rejected
	Rules    []RuleDecision `json:"rules,omitempty"`
}

// EventStatus is what became of an event.
type EventStatus string

// The statuses of an event.
const (
	EventReceived EventStatus = "received" // no rule has looked at it yet
	EventDecided  EventStatus = "decided"
	EventRejected EventStatus = "rejected"
)

// RuleDecision is one rule's decision about an event: the enforcement.
type RuleDecision struct {
	Rule      string  `json:"rule"`
	Outcome   Outcome `json:"outcome"`
	Reason    string  `json:"reason,omitempty"`
	Execution string  `json:"execution,omitempty"`
	Action    string  `json:"action,omitempty"`
}

// Outcome is how a rule decided.
type Outcome string

// The outcomes.
const (
	Matched    Outcome = "matched"
	NotMatched Outcome = "not_matched"
	Errored    Outcome = "error"
)

// RunnerInfo is a runner's heartbeat, in the bucket RUNNERS.
type RunnerInfo struct {
	Version   int       `json:"v"`
	Name      string    `json:"name"`
	Pool      string    `json:"pool"`
	Slots     int       `json:"slots"`
	Running   int       `json:"running"`
	Draining  bool      `json:"draining,omitempty"`
	Runtimes  []Runtime `json:"runtimes"`
	XKey      string    `json:"xkey,omitempty"` // public curve key that secrets are sealed to
	StartedAt time.Time `json:"started_at"`
	Seen      time.Time `json:"seen"`
	Build     string    `json:"build"` // version of Attune
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
}

// Runtime is an interpreter that a runner found and ran.
type Runtime struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path"`
}

// Lease is an entry in the bucket LEASES.
type Lease struct {
	Version int       `json:"v"`
	Owner   string    `json:"owner"`
	Since   time.Time `json:"since"`
}

// QueueControl is what operators said of a queue, in the bucket QUEUES.
type QueueControl struct {
	Version int       `json:"v"`
	Paused  bool      `json:"paused"`
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at"`
}
