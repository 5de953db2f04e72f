package pack

import (
	"encoding/json"
	"strconv"
	"strings"
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
	Concurrency PackConcurrency   `json:"concurrency,omitzero"`

	Actions  []Action  `json:"actions,omitempty"`
	Triggers []Trigger `json:"triggers,omitempty"`
	Sensors  []Sensor  `json:"sensors,omitempty"`
	Rules    []Rule    `json:"rules,omitempty"`
}

// Action is a program that executions run.
type Action struct {
	Name         string          `json:"name"`
	Description  string          `json:"description,omitempty"`
	Runtime      string          `json:"runtime"`     // shell, python, node, native, container, or another that runners have
	EntryPoint   string          `json:"entry_point"` // "host.py", or "host.py:run" for a function
	Variables    bool            `json:"variables,omitempty"`
	Parameters   json.RawMessage `json:"parameters,omitempty"` // JSON Schema of an object
	Secrets      []string        `json:"secrets,omitempty"`
	Output       Output          `json:"output,omitempty"`
	OutputSchema json.RawMessage `json:"output_schema,omitempty"`
	Timeout      Duration        `json:"timeout,omitempty"` // 0: DefaultTimeout
	Concurrency  Concurrency     `json:"concurrency,omitzero"`
	Rate         Rate            `json:"rate,omitzero"`
	Retry        *Retry          `json:"retry,omitempty"`
	QueueTimeout Duration        `json:"queue_timeout,omitempty"` // how long an attempt may wait to start; 0: for ever
	Logs         Logs            `json:"logs,omitzero"`
	Pool         string          `json:"pool,omitempty"` // runners' pool; "" means DefaultPool
	RunsOn       RunsOn          `json:"runs_on,omitzero"`
	Resources    Resources       `json:"resources,omitzero"`
	Warm         *int            `json:"warm,omitempty"`      // processes of each runner that have the function loaded; nil: as it is used
	Container    *Container      `json:"container,omitempty"` // of runtime container only, and then required
}

// RunsOn says which runners of the pool may run an action, beyond having its runtime.
type RunsOn struct {
	Labels map[string]string `json:"labels,omitempty"`  // all of them, with these values
	IfNone IfNone            `json:"if_none,omitempty"` // what becomes of a request when no living runner can run it
}

// IfNone says what becomes of a request that no living runner can run.
type IfNone string

// The ways to treat a request that no living runner can run.
const (
	IfNoneRefuse IfNone = "refuse" // at once, with what is missing; the default
	IfNoneWait   IfNone = "wait"   // in line, until a runner comes that can
)

// Container says in what the program of an action of runtime container runs. Exactly one of Image and Rootfs is set.
// The pack's folder is /attune/pack in it, read-only, and the execution's folder /attune/work.
type Container struct {
	Image   string  `json:"image,omitempty"`
	Rootfs  string  `json:"rootfs,omitempty"` // folder of the pack, or an absolute path that the operator allows
	Network Network `json:"network,omitempty"`
}

// Network says what of the network a container has.
type Network string

// The networks of a container.
const (
	NetworkNone Network = "none" // loopback only; the default
	NetworkHost Network = "host" // the host's
)

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

// PackConcurrency bounds how many executions of all actions of a pack run at once.
type PackConcurrency struct { //nolint:revive // Concurrency is an action's; this is its pack's
	Limit int `json:"limit,omitempty"` // 0: no limit
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
	MaxBytes         int64     `json:"max_bytes,omitempty"`          // per stream; 0: the installation's default
	MaxTotalBytes    int64     `json:"max_total_bytes,omitempty"`    // of both streams; 0: the installation's default, or twice MaxBytes where that is more
	SegmentBytes     int64     `json:"segment_bytes,omitempty"`      // raw bytes per stored segment; 0: the installation's default
	Keep             Keep      `json:"keep,omitempty"`               // what of a stream that goes over its limit; "": the installation's default
	TruncateOnExceed *bool     `json:"truncate_on_exceed,omitempty"` // false: output over a limit fails the execution; nil means true
	Retention        Retention `json:"retention,omitzero"`
}

// Keep says what is kept of a stream that goes over its limit.
type Keep string

// The parts of a stream that can be kept.
const (
	KeepHead Keep = "head" // the beginning
	KeepEnds Keep = "ends" // the first and the last half of the limit
)

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
	Scheme               string   `json:"scheme"`            // see pkg/webhook
	Secret               string   `json:"secret,omitempty"`  // name of the secret that the scheme verifies with
	Secrets              []string `json:"secrets,omitempty"` // or of several, any of which will do
	AllowUnauthenticated bool     `json:"allow_unauthenticated,omitempty"`
}

// SecretNames lists the secrets that deliveries are verified with.
func (w Webhook) SecretNames() []string {
	if w.Secret != "" {
		return []string{w.Secret}
	}
	return w.Secrets
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
	Secrets     []string        `json:"secrets,omitempty"`
	Optional    []string        `json:"optional_secrets,omitempty"` // those it can work without
	Config      json.RawMessage `json:"config,omitempty"`           // values; those that the installation set for the pack replace them
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
	Priority    string         `json:"priority,omitempty"`   // of the executions: high, normal, low; "" means normal
	OncePer     *OncePer       `json:"once_per,omitempty"`
}

// OncePer lets one event of a window through, for each value of the key.
type OncePer struct {
	Key    string   `json:"key,omitempty"` // CEL over event; "": one window for all events of the rule
	Window Duration `json:"window"`
	Take   Take     `json:"take,omitempty"`
}

// Take says which event of a window goes through.
type Take string

// The events of a window that may go through.
const (
	TakeFirst Take = "first" // at once; the default
	TakeLast  Take = "last"  // when the window ends
)

// String says what it lets through, such as "10m for each event.payload.host".
func (o OncePer) String() string {
	window := brief(time.Duration(o.Window))
	if o.Take == TakeLast {
		window = "the last of " + window
	}
	if o.Key == "" {
		return window + " for all events together"
	}
	return window + " for each " + o.Key
}

// For names the window of a key as people read it, such as `once per 10m for "web1"`.
func (o OncePer) For(key string) string {
	text := "once per " + brief(time.Duration(o.Window))
	if o.Key == "" {
		return text
	}
	quoted := strconv.Quote(key)
	if len(quoted) > maxShownKey {
		quoted = strings.ToValidUTF8(quoted[:maxShownKey], "") + `..."`
	}
	return text + " for " + quoted
}

// maxShownKey bounds a key where it is only mentioned, in bytes as they are written.
const maxShownKey = 100

// brief writes a duration without parts that are nothing: "10m", not "10m0s".
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
