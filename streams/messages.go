package streams

import (
	"encoding/json"
	"time"
)

// Status is the state of an execution.
type Status string

// The statuses. Requested, Running and Canceling are passing. An attempt that is to be repeated leads back to
// Requested; the others are final.
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
	RequestedBy string    `json:"requested_by,omitempty"` // "rule", or who called the API: "admin", "token:NAME", "user:NAME"

	Key     string `json:"key,omitempty"`   // concurrency key as given
	Limit   int    `json:"limit,omitempty"` // the action's limit when this was requested; 0: none
	Pool    string `json:"pool"`
	Rule    string `json:"rule,omitempty"`     // "pack.name"
	Event   string `json:"event,omitempty"`    // the event's id
	RetryOf string `json:"retry_of,omitempty"` // the execution that a user repeated with this one
	Hops    int    `json:"hops,omitempty"`     // how many rules led to this execution

	Parameters json.RawMessage `json:"parameters,omitempty"`

	Admission
	Retry     *Retry     `json:"retry,omitempty"`      // the action's policy when this was requested; nil: never
	NotBefore *time.Time `json:"not_before,omitempty"` // of a requested fact: the attempt is put in line then, if it has not kept its slot
	Previous  []Attempt  `json:"previous,omitempty"`   // the attempts before this one, oldest first, the latest MaxPrevious

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

// Admission is what decides, besides the limit, when an execution may start: what its action and its requester
// said. It travels with the queue message too, so that a scheduler needs nothing else.
type Admission struct {
	Priority            Priority `json:"priority,omitempty"`              // "" means PriorityNormal
	PackLimit           int      `json:"pack_limit,omitempty"`            // the pack's limit when this was requested; 0: none
	Rate                string   `json:"rate,omitempty"`                  // the action's rate as pack.Rate writes it; "": none
	QueueTimeoutSeconds float64  `json:"queue_timeout_seconds,omitempty"` // each attempt waits at most so long; 0: for ever
	Reject              bool     `json:"reject,omitempty"`                // it starts at once or not at all
}

// Priority orders the waiting of a queue: within one priority they are first in, first out.
type Priority string

// The priorities.
const (
	PriorityHigh   Priority = "high"
	PriorityNormal Priority = "normal"
	PriorityLow    Priority = "low"
)

// Retry says when an attempt that ended badly is followed by another.
type Retry struct {
	Attempts        int      `json:"attempts"` // in all, the first included
	DelaySeconds    float64  `json:"delay_seconds,omitempty"`
	Backoff         float64  `json:"backoff,omitempty"`           // what each further delay is multiplied by; 0 means 1
	MaxDelaySeconds float64  `json:"max_delay_seconds,omitempty"` // 0: no bound
	Jitter          float64  `json:"jitter,omitempty"`            // 0 to 1: the part of the delay that is random, either way
	On              []Status `json:"on"`                          // of Failed, TimedOut, Lost
	Hold            bool     `json:"hold,omitempty"`              // the slot is kept in between; otherwise the next attempt queues up again
}

// MaxPrevious bounds the earlier attempts that a fact repeats.
const MaxPrevious = 20

// Attempt is how an earlier attempt of an execution ended.
type Attempt struct {
	Attempt   int        `json:"attempt"`
	Status    Status     `json:"status"`
	Runner    string     `json:"runner,omitempty"`
	StartedAt *time.Time `json:"started_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	ExitCode  *int       `json:"exit_code,omitempty"`
	Error     *Error     `json:"error,omitempty"`
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
	ClassOutputLimit        = "output_limit" // its output went over a limit, which its action does not allow
	ClassPackUnavailable    = "pack_unavailable"
	ClassSecretsUnavailable = "secrets_unavailable"
	ClassRunnerLost         = "runner_lost"
	ClassQueueFull          = "queue_full"     // it was to start at once or not at all
	ClassQueueDraining      = "queue_draining" // its queue takes nothing new
	ClassQueueTimeout       = "queue_timeout"  // it waited longer than its action allows
	ClassNoRunner           = "no_runner"      // no living runner can run it, and its action does not let it wait for one
	ClassSuperseded         = "superseded"     // a later event of its window came, and its rule wants the last
	ClassInternal           = "internal"
)

// Output counts what an execution wrote.
type Output struct {
	StdoutBytes int64 `json:"stdout_bytes"`
	StderrBytes int64 `json:"stderr_bytes"`
	Truncated   bool  `json:"truncated,omitempty"`
	Dropped     int64 `json:"dropped_bytes,omitempty"` // of both, not kept
	Held        bool  `json:"held,omitempty"`          // a process left behind kept the output open and was killed
	LogBytes    int64 `json:"log_bytes,omitempty"`     // in the log of all attempts, markers included
	StoredBytes int64 `json:"stored_bytes,omitempty"`  // what that log takes in the object store
	Incomplete  bool  `json:"incomplete,omitempty"`    // the runner gave up before all of the log was stored
}

// Run hands an admitted execution to a runner, on RUNS.
type Run struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
	Action  string `json:"action"`
	Attempt int    `json:"attempt"`
}

// Decision records what became of one event, on DECISIONS. Of the rules that were asked it lists those that have more to
// say than that they did not match: the others are those of the set of rules that are not listed.
type Decision struct {
	Version    int            `json:"v"`
	EventID    string         `json:"event_id"`
	EventSeq   uint64         `json:"event_seq"`
	Trigger    string         `json:"trigger"`
	At         time.Time      `json:"at"`
	ReceivedAt time.Time      `json:"received_at,omitzero"` // when EVENTS received the event; zero of older ones
	Status     EventStatus    `json:"status"`
	Reason     string         `json:"reason,omitempty"`   // why it was rejected
	RuleSet    string         `json:"rule_set,omitempty"` // the id of the rules that were asked; "": those that are listed
	Rules      []RuleDecision `json:"rules,omitempty"`
}

// RuleSet is the rules on a trigger, as they were asked about events, on DECISIONS before the first decision that names
// it, and again every day on which one does.
type RuleSet struct {
	Version int         `json:"v"`
	ID      string      `json:"id"` // made of trigger and rules
	Trigger string      `json:"trigger"`
	At      time.Time   `json:"at"`
	Rules   []AskedRule `json:"rules"`
}

// AskedRule is what of a rule decides about an event.
type AskedRule struct {
	Rule     string `json:"rule"`
	When     string `json:"when,omitempty"` // its criteria
	Disabled bool   `json:"disabled,omitempty"`
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
	Suppressed Outcome = "suppressed" // it matched, and once_per let another event of its window through
)

// RunnerInfo is a runner's heartbeat, in the bucket RUNNERS.
type RunnerInfo struct {
	Version   int       `json:"v"`
	Name      string    `json:"name"`
	Pool      string    `json:"pool"`
	Slots     int       `json:"slots"`
	Running   int       `json:"running"`
	Spares    int       `json:"spares,omitempty"` // processes that wait for executions
	Draining  bool      `json:"draining,omitempty"`
	Installs  bool      `json:"installs,omitempty"` // it has packs of INSTALLS ready ahead of time, and reports in ENVIRONMENTS
	Runtimes  []Runtime `json:"runtimes"`
	Labels    Labels    `json:"labels,omitempty"`
	XKey      string    `json:"xkey,omitempty"` // public curve key that secrets are sealed to
	StartedAt time.Time `json:"started_at"`
	Seen      time.Time `json:"seen"`
	Build     string    `json:"build"` // version of Attune
	Host      string    `json:"host"`
	PID       int       `json:"pid"`

	Isolation []IsolationFeature `json:"isolation,omitempty"` // what its actions are kept from; empty: nothing
}

// IsolationFeature is a part of what keeps actions from each other, and whether a runner has it.
type IsolationFeature struct {
	Name   string `json:"name"`
	Active bool   `json:"active"`
	Detail string `json:"detail,omitempty"`
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

// QueueControl is what operators said of a scope, in the bucket QUEUES. A scope is an action ("pack.action"),
// a pack ("pack") or ScopeAll. It is replaced as a whole: whoever changes one thing repeats the rest, by
// compare-and-set on the entry's revision.
type QueueControl struct {
	Version     int        `json:"v"`
	Paused      bool       `json:"paused"`
	PausedUntil *time.Time `json:"paused_until,omitempty"` // nil: until it is resumed
	Draining    bool       `json:"draining,omitempty"`
	DrainAfter  uint64     `json:"drain_after,omitempty"` // last sequence of QUEUE that is still taken while draining
	Limit       int        `json:"limit,omitempty"`       // in place of the declared one; 0: the declared one
	By          string     `json:"by,omitempty"`
	At          time.Time  `json:"at"`
}

// ScopeAll is the scope of all actions together in the bucket QUEUES. No pack can have this name.
const ScopeAll = "_all"

// Once is what a rule with once_per let through last for one key, in the bucket ONCE.
type Once struct {
	Version   int       `json:"v"`
	Event     string    `json:"event"`
	Execution string    `json:"execution"`
	At        time.Time `json:"at"` // when EVENTS received the event that opened the window

	// Of a window whose last event counts: when EVENTS received the event above, and the execution in whose place
	// its own has come.
	EventAt  time.Time `json:"event_at,omitzero"`
	Replaced string    `json:"replaced,omitempty"`
}

// RateState is how far a token bucket is used up, in the bucket RATES: the time at which it is full again.
type RateState struct {
	Version int       `json:"v"`
	FullAt  time.Time `json:"full_at"`
}

// Labels say what a runner has that others may not: "zone" is "eu", "gpu" is "".
type Labels map[string]string

// Install is a version of a pack that every runner of its pools must have ready, in the bucket INSTALLS. It is
// taken away after the version's last use, and then runners remove what they have of it.
type Install struct {
	Version     int       `json:"v"`
	Pack        string    `json:"pack"`
	PackVersion string    `json:"pack_version"`
	Digest      string    `json:"digest"` // of the archive in the object bucket PACKS
	Pools       []string  `json:"pools"`
	Generation  int       `json:"generation"` // from 1; a higher one asks for another try of what had failed
	RequestedAt time.Time `json:"requested_at"`
}

// InstallStatus is how far a runner is with a version of a pack.
type InstallStatus string

// The states of an installation on a runner.
const (
	NotInstalled InstallStatus = "not_installed"
	Installing   InstallStatus = "installing"
	Installed    InstallStatus = "installed"
	InstallError InstallStatus = "failed"
)

// Environment is what a runner reports of a version of a pack, in the bucket ENVIRONMENTS. It holds only for as
// long as the runner lives: a runner that was started again has another name.
type Environment struct {
	Version     int           `json:"v"`
	Pack        string        `json:"pack"`
	PackVersion string        `json:"pack_version"`
	Digest      string        `json:"digest"`
	Generation  int           `json:"generation"`
	Runner      string        `json:"runner"`
	Pool        string        `json:"pool"`
	Host        string        `json:"host"`
	Status      InstallStatus `json:"status"`
	StartedAt   time.Time     `json:"started_at,omitzero"`
	InstalledAt *time.Time    `json:"installed_at,omitempty"`
	Step        string        `json:"step,omitempty"`     // what is being done, in words, while Status is Installing
	Error       string        `json:"error,omitempty"`    // why it failed, in a line
	Tail        []string      `json:"tail,omitempty"`     // the last lines of the tool that failed
	Log         string        `json:"log,omitempty"`      // the installation's log, to be read as an execution's
	Missing     []Missing     `json:"missing,omitempty"`  // runtimes of the pack that this runner does not have
	Runtimes    []Runtime     `json:"runtimes,omitempty"` // those that the pack's programs run with
}

// Missing is something that an action needs and a runner does not have: a runtime, or a label.
type Missing struct {
	Runtime string   `json:"runtime,omitempty"`
	Label   string   `json:"label,omitempty"`
	Want    string   `json:"want"`           // the range of versions, or the label's value
	Have    []string `json:"have,omitempty"` // the versions, or the value, that the runner has
}

// Placement is what executions ask of their runner beyond its pool, in the bucket PLACEMENTS. Its key is the token
// that stands for the pool in subjects; see pkg/placement. A runner that has all of it takes these executions too.
type Placement struct {
	Version  int               `json:"v"`
	Pool     string            `json:"pool"`
	Runtimes map[string]string `json:"runtimes,omitempty"` // name to range of versions; "" is any version
	Labels   Labels            `json:"labels,omitempty"`
	Wait     bool              `json:"wait,omitempty"` // executions wait for a runner that has all of it, however long
}

// SensorStatus is what a sensor process does.
type SensorStatus string

// The states of a sensor.
const (
	SensorIdle     SensorStatus = "idle"     // no enabled rule uses its triggers
	SensorStarting SensorStatus = "starting" // its environment is being built, or it has just been started
	SensorRunning  SensorStatus = "running"
	SensorBackoff  SensorStatus = "backoff" // it ended, and is started again after a pause
	SensorFailed   SensorStatus = "failed"  // it cannot be started as it is; the next change of it is another try
)

// SensorState is what the host of a sensor says of it, in the bucket SENSORS.
type SensorState struct {
	Version     int          `json:"v"`
	Sensor      string       `json:"sensor"` // "pack.name"
	PackDigest  string       `json:"pack_digest"`
	Status      SensorStatus `json:"status"`
	Host        string       `json:"host"`
	Owner       string       `json:"owner"` // the copy of the sensors service that holds its lease
	PID         int          `json:"pid,omitempty"`
	At          time.Time    `json:"at"`
	StartedAt   *time.Time   `json:"started_at,omitempty"`
	Restarts    int          `json:"restarts"`
	RetryAt     *time.Time   `json:"retry_at,omitempty"`
	Error       string       `json:"error,omitempty"`
	Events      int64        `json:"events"`   // published since it was started
	Rejected    int64        `json:"rejected"` // lines that were no events
	LastEventAt *time.Time   `json:"last_event_at,omitempty"`
	Log         string       `json:"log,omitempty"`  // of this start, to be read as an execution's
	Logs        []string     `json:"logs,omitempty"` // of the starts before, the latest first
	XKey        string       `json:"xkey,omitempty"` // public curve key that its secrets are sealed to
}
