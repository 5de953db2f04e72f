package api

import (
	"time"

	"github.com/attune/attune/streams"
)

// QueueStats says how an action's line stands.
type QueueStats = streams.QueueStats

// QueueEntry is one execution in a line.
type QueueEntry = streams.QueueEntry

// Queue is an action's line: those that hold a slot first, then the waiting in order.
type Queue struct {
	QueueStats
	Entries    []QueueEntry `json:"entries" nullable:"false"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

// Runner is a runner that lives.
type Runner = streams.RunnerInfo

// Secret is the name of a secret. Values are never shown.
type Secret struct {
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// SecretValue sets a secret.
type SecretValue struct {
	Value string `json:"value" maxLength:"65536"`
}

// NamedSecret sets a secret that is named in the body.
type NamedSecret struct {
	Name  string `json:"name"`
	Value string `json:"value" maxLength:"65536"`
}

// Health is how the service stands.
type Health struct {
	Status  string  `json:"status" enum:"ok,unavailable"`
	Version string  `json:"version"`
	Checks  []Check `json:"checks,omitempty"`
}

// Check is one thing that the service needs.
type Check struct {
	Name  string `json:"name" example:"nats"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}
