package api

import (
	"encoding/json"
	"time"

	"github.com/attune/attune/pkg/pack"
)

// Pack is an installed pack.
type Pack struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Description string            `json:"description,omitempty"`
	Author      string            `json:"author,omitempty"`
	Digest      string            `json:"digest" doc:"SHA-256 of the archive that runners use."`
	Source      string            `json:"source,omitempty" doc:"Where it was installed from, as the installer said."`
	InstalledBy string            `json:"installed_by,omitempty"`
	Runtime     map[string]string `json:"runtime,omitempty"`
	InstalledAt time.Time         `json:"installed_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Actions     []string          `json:"actions" nullable:"false"`
	Triggers    []string          `json:"triggers" nullable:"false"`
	Sensors     []string          `json:"sensors" nullable:"false"`
	Rules       []string          `json:"rules" nullable:"false"`
}

// PackInstalled is the answer to a pack that was taken.
type PackInstalled struct {
	Pack
	Change string `json:"change" enum:"installed,upgraded,unchanged"`
	Was    string `json:"was,omitempty" doc:"The version that it replaced."`
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
	Timeout      string           `json:"timeout" example:"10m0s"`
	Concurrency  pack.Concurrency `json:"concurrency"`
	Pool         string           `json:"pool"`
	PackDigest   string           `json:"pack_digest"`
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
	Scheme               string `json:"scheme" enum:"github,hmac,bearer,none"`
	Secret               string `json:"secret,omitempty" doc:"Name of the secret"`
	AllowUnauthenticated bool   `json:"allow_unauthenticated,omitempty"`
	Path                 string `json:"path" doc:"Where to POST to"`
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
	Config      json.RawMessage `json:"config,omitempty"`
}

// Rule connects a trigger to an action.
type Rule struct {
	Ref         string         `json:"ref" doc:"pack.name"`
	Pack        string         `json:"pack"`
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Trigger     string         `json:"trigger"`
	When        string         `json:"when,omitempty" doc:"CEL over event; absent means every event."`
	Action      string         `json:"action"`
	Parameters  map[string]any `json:"parameters,omitempty"`
	Enabled     bool           `json:"enabled"`
}
