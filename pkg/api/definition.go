package api

import (
	"encoding/json"
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// Pack is an installed pack.
type Pack struct {
	Name        string               `json:"name"`
	Version     string               `json:"version"`
	Description string               `json:"description,omitempty"`
	Author      string               `json:"author,omitempty"`
	State       string               `json:"state,omitempty" enum:"active,building,ready,failed" doc:"active, unless another version is on its way or has failed."`
	Coming      string               `json:"coming,omitempty" doc:"The version that is on its way or has failed."`
	Digest      string               `json:"digest" doc:"SHA-256 of the archive that runners use."`
	Source      string               `json:"source,omitempty" doc:"Where it was installed from, as the installer said."`
	InstalledBy string               `json:"installed_by,omitempty"`
	Runtime     map[string]string    `json:"runtime,omitempty"`
	Concurrency pack.PackConcurrency `json:"concurrency,omitzero" doc:"Of all its actions together"`
	InstalledAt time.Time            `json:"installed_at"`
	UpdatedAt   time.Time            `json:"updated_at"`
	Actions     []string             `json:"actions" nullable:"false"`
	Triggers    []string             `json:"triggers" nullable:"false"`
	Sensors     []string             `json:"sensors" nullable:"false"`
	Rules       []string             `json:"rules" nullable:"false"`
}

// Action is a program that executions run.
type Action struct {
	Ref          string           `json:"ref" doc:"pack.name"`
	Pack         string           `json:"pack"`
	Name         string           `json:"name"`
	Description  string           `json:"description,omitempty"`
	Runtime      string           `json:"runtime"`
	EntryPoint   string           `json:"entry_point"`
	Variables    bool             `json:"variables,omitempty"`
	Parameters   json.RawMessage  `json:"parameters,omitempty" doc:"JSON Schema"`
	Secrets      []string         `json:"secrets,omitempty" doc:"Names"`
	Output       pack.Output      `json:"output,omitempty"`
	OutputSchema json.RawMessage  `json:"output_schema,omitempty" doc:"JSON Schema"`
	Retention    *RetentionPolicy `json:"retention,omitempty" doc:"Which of its logs are kept, besides what is said of all logs."`
	Timeout      string           `json:"timeout" example:"10m0s"`
	Concurrency  pack.Concurrency `json:"concurrency"`
	Rate         string           `json:"rate,omitempty" doc:"How many start in a time" example:"10/m"`
	Retry        *pack.Retry      `json:"retry,omitempty" doc:"When an attempt that ended badly is repeated"`
	QueueTimeout string           `json:"queue_timeout,omitempty" doc:"How long an attempt may wait to start; for ever when absent" example:"1h0m0s"`
	Logs         *LogLimits       `json:"logs,omitempty" doc:"What is kept of the output"`
	Pool         string           `json:"pool"`
	Needs        string           `json:"needs,omitempty" doc:"The range of versions of the runtime" example:">=3.9,<3.13"`
	Resources    pack.Resources   `json:"resources,omitzero" doc:"What an execution may use"`
	Warm         *int             `json:"warm,omitempty" doc:"How many processes of each runner have the function loaded and wait; as it is used, when absent"`
	RunsOn       pack.RunsOn      `json:"runs_on,omitzero" doc:"What it asks of a runner of the pool, and what becomes of a request when none has it"`
	Container    *pack.Container  `json:"container,omitempty"`
	PackDigest   string           `json:"pack_digest"`
}

// LogLimits say what is kept of the output of an action's executions.
type LogLimits struct {
	MaxBytes         int64     `json:"max_bytes" doc:"Of each stream"`
	MaxTotalBytes    int64     `json:"max_total_bytes" doc:"Of both together"`
	SegmentBytes     int64     `json:"segment_bytes" doc:"Of output, in one stored segment"`
	Keep             pack.Keep `json:"keep" enum:"head,ends" doc:"What is kept of a stream over its limit"`
	TruncateOnExceed bool      `json:"truncate_on_exceed" doc:"Whether output over a limit is left out; otherwise it fails the execution"`
}

// Trigger is a kind of event.
type Trigger struct {
	Ref         string          `json:"ref" doc:"pack.name"`
	Pack        string          `json:"pack"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Payload     json.RawMessage `json:"payload,omitempty" doc:"JSON Schema"`
	Webhook     *Webhook        `json:"webhook,omitempty"`
	Timer       *Timer          `json:"timer,omitempty"`
}

// Webhook says how outside senders reach a trigger.
type Webhook struct {
	Scheme               string   `json:"scheme" enum:"github,gitlab,stripe,slack,standard-webhooks,hmac,bearer,none"`
	Secret               string   `json:"secret,omitempty" doc:"Name of the secret"`
	Secrets              []string `json:"secrets,omitempty" doc:"Names of several, any of which proves a delivery"`
	AllowUnauthenticated bool     `json:"allow_unauthenticated,omitempty" doc:"Anybody may deliver"`
	Path                 string   `json:"path" doc:"Where to POST to"`
}

// Timer says when a trigger fires by the clock.
type Timer struct {
	Cron     string          `json:"cron,omitempty"`
	Every    string          `json:"every,omitempty"`
	At       *time.Time      `json:"at,omitempty"`
	Timezone string          `json:"timezone,omitempty"`
	CatchUp  pack.CatchUp    `json:"catch_up,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
}

// Sensor is a supervised process that publishes events.
type Sensor struct {
	Ref         string          `json:"ref" doc:"pack.name"`
	Pack        string          `json:"pack"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Runtime     string          `json:"runtime"`
	EntryPoint  string          `json:"entry_point"`
	Triggers    []string        `json:"triggers" nullable:"false"`
	Secrets     []string        `json:"secrets,omitempty" doc:"Names"`
	Optional    []string        `json:"optional_secrets,omitempty" doc:"Names of secrets that it can work without"`
	Config      json.RawMessage `json:"config,omitempty" doc:"Values; those of the pack's configuration replace them"`
	PackDigest  string          `json:"pack_digest"`

	Status      streams.SensorStatus `json:"status" enum:"idle,starting,running,backoff,failed"`
	Reason      string               `json:"reason,omitempty" doc:"Why it does not run"`
	Host        string               `json:"host,omitempty" doc:"The machine that has it, or had it last"`
	PID         int                  `json:"pid,omitempty"`
	StartedAt   *time.Time           `json:"started_at,omitempty"`
	Restarts    int                  `json:"restarts" doc:"How often it was started again because it had ended"`
	RetryAt     *time.Time           `json:"retry_at,omitempty" doc:"When it is started again"`
	Error       string               `json:"error,omitempty" doc:"Why it ended last, or cannot be started"`
	Events      int64                `json:"events" doc:"Published since its last start"`
	Rejected    int64                `json:"rejected" doc:"Lines since its last start that were no events; its log says why"`
	LastEventAt *time.Time           `json:"last_event_at,omitempty"`
	Log         string               `json:"log,omitempty" doc:"Of its last start"`
	Logs        []string             `json:"logs,omitempty" doc:"Of the starts before, the latest first"`
}

// Rule connects a trigger to an action.
type Rule struct {
	Ref         string           `json:"ref" doc:"pack.name"`
	Pack        string           `json:"pack"`
	Name        string           `json:"name"`
	Description string           `json:"description,omitempty"`
	Trigger     string           `json:"trigger"`
	When        string           `json:"when,omitempty" doc:"CEL over event; absent means every event."`
	Action      string           `json:"action"`
	Parameters  map[string]any   `json:"parameters,omitempty"`
	Priority    streams.Priority `json:"priority,omitempty" enum:"high,normal,low" doc:"Of its executions"`
	OncePer     *pack.OncePer    `json:"once_per,omitempty" doc:"One event of each window goes through, for each value of the key."`
	Enabled     bool             `json:"enabled"`
}
