package history

import (
	"encoding/json"
	"time"

	"github.com/attune/attune/streams"
)

// Event is an event and what became of it.
type Event struct {
	ID         string              `json:"id" db:"id"`
	Seq        int64               `json:"sequence" db:"seq"`
	Trigger    string              `json:"trigger" db:"trigger"`
	Status     streams.EventStatus `json:"status" db:"status"`
	Reason     string              `json:"reason,omitempty" db:"reason"`           // why it was rejected
	Payload    json.RawMessage     `json:"payload,omitempty" db:"payload"`         // left out of lists when large
	PayloadRaw []byte              `json:"payload_raw,omitempty" db:"payload_raw"` // the first bytes of one that is not JSON
	Source     string              `json:"source,omitempty" db:"source"`
	Hops       int                 `json:"hops,omitempty" db:"hops"`
	Time       time.Time           `json:"time" db:"time"`
	ReceivedAt time.Time           `json:"received_at" db:"received_at"`
	DecidedAt  *time.Time          `json:"decided_at,omitempty" db:"decided_at"`
	Decisions  []Decision          `json:"decisions" db:"-"` // those that were listed; only when one event is asked for
	RuleSet    string              `json:"rule_set,omitempty" db:"rule_set"`
	Asked      *streams.RuleSet    `json:"asked,omitempty" db:"-"` // of the others of these it was decided that they do not match; likewise
}

// Decision is what a rule decided about an event, if that is more than that it did not match.
type Decision struct {
	Rule      string          `json:"rule" db:"rule"`
	Outcome   streams.Outcome `json:"outcome" db:"outcome"`
	Reason    string          `json:"reason,omitempty" db:"reason"`
	Execution string          `json:"execution,omitempty" db:"execution_id"`
	Action    string          `json:"action,omitempty" db:"action"`
	DecidedAt time.Time       `json:"decided_at" db:"decided_at"`
}

// EventFilter chooses events. Empty fields choose all.
type EventFilter struct {
	Trigger string
	Status  streams.EventStatus
	Since   time.Time // received then or later
	Until   time.Time // received before
	Packs   []string  // of a trigger in one of these packs; nil means any
}

// Events is one page of a list, newest first.
type Events struct {
	Items []Event
	Next  string // cursor of the next page; "" when this is the last
}
