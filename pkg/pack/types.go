package pack

import (
	"encoding/json"
	"time"
)

// Ref names a thing of a pack as users write it: "pack.name".
type Ref struct {
	Pack string
	Name string
}

// Pack is a whole pack as it is declared by its files. It is what an archive holds, what PostgreSQL
// keeps and what a runner reads to run an action.
type Pack struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"` // semantic version
	Description string            `json:"description,omitempty"`
	Author      string            `json:"author,omitempty"`
	Runtime     map[string]string `json:"runtime,omitempty"` // runtime name to version range: {"python": ">=3.9"}
	Config      json.RawMessage   `json:"config,omitempty"`  // JSON Schema of the pack's configuration

	Actions  []Action  `json:"actions,omitempty"`
	Triggers []Trigger `json:"triggers,omitempty"`
	Sensors  []Sensor  `json:"sensors,omitempty"`
	Rules    []Rule    `json:"rules,omitempty"`
}

// Action is a program that executions run.
type Action struct {
	Name         string          `json:"name"`
	Description  string          `json:"description,omitempty"`
	Runtime      string          `json:"runtime"`     // shell, python, node, native
	EntryPoint   string          `json:"entry_point"` // "host.py", or "host.py:run" for a function
	Variables    bool            `json:"variables,omitempty"`
	Parameters   json.RawMessage `json:"parameters,omitempty"` // JSON Schema of an object
	Secrets      []string        `json:"secrets,omitempty"`
	Output       Output          `json:"output,omitempty"`
	OutputSchema json.RawMessage `json:"output_schema,omitempty"`
	Timeout      Duration        `json:"timeout,omitempty"` // 0: DefaultTimeout
	Concurrency  Concurrency     `json:"concurrency,omitzero"`
	Logs         Logs            `json:"logs,omitzero"`
	Pool         string          `json:"pool,omitempty"` // runners' pool; "" means DefaultPool
}

// Output says where an action's result comes from besides the result file.
type Output string

// The outputs.
const (
	OutputText Output = "text" // stdout is only a log; the default
	OutputJSON Output = "json" // the whole stdout is the result
)

// Concurrency bounds how many executions of an action run at once.
type Concurrency struct {
	Limit  int    `json:"limit,omitempty"` // 0: no limit
	Key    string `json:"key,omitempty"`   // CEL over params; each value has a queue and a limit of its own
	OnFull OnFull `json:"on_full,omitempty"`
}

// OnFull says what happens to a request while the limit is reached.
type OnFull string

// The ways to treat a request while the limit is reached.
const (
	OnFullQueue  OnFull = "queue" // wait in line; the default
	OnFullReject OnFull = "reject"
)

// Logs bounds what is kept of an action's output.
type Logs struct {
	MaxBytes     int64    `json:"max_bytes,omitempty"`     // per stream; 0: the installation's default
	SegmentBytes int64    `json:"segment_bytes,omitempty"` // raw bytes per stored segment; 0: the installation's default
	Retention    Duration `json:"retention,omitempty"`
}

// Trigger is a kind of event.
type Trigger struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Payload     json.RawMessage `json:"payload,omitempty"` // JSON Schema
	Webhook     *Webhook        `json:"webhook,omitempty"`
	Timer       *Timer          `json:"timer,omitempty"`
}

// Webhook lets outside senders publish events of a trigger over HTTP.
type Webhook struct {
	Scheme               string `json:"scheme"`           // github, hmac, bearer, none; see pkg/webhook
	Secret               string `json:"secret,omitempty"` // name of the secret that the scheme verifies with
	AllowUnauthenticated bool   `json:"allow_unauthenticated,omitempty"`
}

// Timer publishes events of a trigger by the clock. Exactly one of Cron, Every and At is set.
type Timer struct {
	Cron     string          `json:"cron,omitempty"` // five fields
	Every    Duration        `json:"every,omitempty"`
	At       *time.Time      `json:"at,omitempty"`
	Timezone string          `json:"timezone,omitempty"` // IANA name; "" means UTC
	CatchUp  CatchUp         `json:"catch_up,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"` // merged into the event's payload
}

// CatchUp says what a timer does about ticks it missed while nothing ran.
type CatchUp string

// The catch-up policies.
const (
	CatchUpNone CatchUp = "none"
	CatchUpLast CatchUp = "last" // one event for the latest missed tick; the default
	CatchUpAll  CatchUp = "all"  // every missed tick of the last 24 hours
)

// Sensor is a supervised process that publishes events.
type Sensor struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Runtime     string          `json:"runtime"`
	EntryPoint  string          `json:"entry_point"`
	Triggers    []string        `json:"triggers"` // names within the pack
	Config      json.RawMessage `json:"config,omitempty"`
}

// Rule connects a trigger to an action.
type Rule struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Trigger     string         `json:"trigger"`              // "pack.name"; "name" means the rule's own pack
	When        string         `json:"when,omitempty"`       // CEL over event; "" matches every event
	Action      string         `json:"action"`               // "pack.name"; "name" means the rule's own pack
	Parameters  map[string]any `json:"parameters,omitempty"` // values, or text with ${{ CEL }}
	Enabled     *bool          `json:"enabled,omitempty"`    // nil means true
}
