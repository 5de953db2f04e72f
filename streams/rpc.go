package streams

import "time"

// QueueRequest asks for a queue. Without a key it means all queues of the action together for statistics,
// and the queue without key for the line.
type QueueRequest struct {
	Action string `json:"action"`
	Key    string `json:"key,omitempty"`
	Limit  int    `json:"limit,omitempty"`  // how many of the line to list; 0: 100
	Offset int    `json:"offset,omitempty"` // how many of the line to pass over
}

// QueueStats says how a queue stands. Waits are those of recently admitted executions.
type QueueStats struct {
	Action                string     `json:"action"`
	Key                   string     `json:"key,omitempty"`
	Waiting               int        `json:"waiting"`
	Running               int        `json:"running"`
	Delayed               int        `json:"delayed"` // between two attempts, without a slot
	Limit                 int        `json:"limit"`   // 0: none
	Rate                  string     `json:"rate,omitempty"`
	Paused                bool       `json:"paused"`
	PausedUntil           *time.Time `json:"paused_until,omitempty"`
	Draining              bool       `json:"draining"`
	AvgWaitSeconds        float64    `json:"avg_wait_seconds"`
	OldestWaitSeconds     float64    `json:"oldest_wait_seconds"`
	EstimatedDrainSeconds float64    `json:"estimated_drain_seconds"`
	EstimateError         *float64   `json:"estimate_error,omitempty"` // how far recent estimates were off, as a part of the wait; nil: not known yet
	BlockedBy             string     `json:"blocked_by,omitempty"`     // why the first in line does not start now; see the Blocked constants
}

// What the first in line waits for.
const (
	BlockedByLimit     = "limit"
	BlockedByPackLimit = "pack_limit"
	BlockedByAllLimit  = "all_limit"
	BlockedByRate      = "rate"
	BlockedByRunner    = "runner" // the one before it was admitted, and no runner has claimed it yet
	BlockedByPause     = "paused"
)

// QueueEntry is one execution in a line.
type QueueEntry struct {
	ID               string     `json:"id"`
	Key              string     `json:"key,omitempty"`
	Position         int        `json:"position"` // from 1; 0: it holds a slot, or waits for its next attempt
	Status           Status     `json:"status"`
	Attempt          int        `json:"attempt"`
	Priority         Priority   `json:"priority"`
	RequestedAt      time.Time  `json:"requested_at"`
	NotBefore        *time.Time `json:"not_before,omitempty"`         // of one between two attempts
	EstimatedStartAt *time.Time `json:"estimated_start_at,omitempty"` // of one that waits; nil: nothing to go by, or paused
}

// QueueView is a queue with its line in order: those that hold a slot first, then the waiting, then those
// between two attempts.
type QueueView struct {
	QueueStats
	Entries []QueueEntry `json:"entries"`
	Error   string       `json:"error,omitempty"` // set instead of the rest when the question cannot be answered
}

// QueueListRequest asks for the queues after one, in the order of action and key.
type QueueListRequest struct {
	AfterAction string `json:"after_action,omitempty"`
	AfterKey    string `json:"after_key,omitempty"`
	Limit       int    `json:"limit,omitempty"` // how many at most; 0: 100
}

// QueueList is queues that have work, or that operators have said something of.
type QueueList struct {
	Queues []QueueStats `json:"queues"`
	More   bool         `json:"more,omitempty"` // there are others after these
}

// PositionRequest asks for the place of an execution. After is the sequence of its message in QUEUE: the
// leader answers when it has read that far.
type PositionRequest struct {
	ID    string `json:"id"`
	After uint64 `json:"after,omitempty"`
}

// Position is an execution's place in its line: 1 is next, 0 means that it holds a slot or has ended.
type Position struct {
	ID               string     `json:"id"`
	Position         int        `json:"position"`
	Known            bool       `json:"known"`
	Refused          string     `json:"refused,omitempty"` // the class of the error that it is about to end with
	EstimatedStartAt *time.Time `json:"estimated_start_at,omitempty"`
	EstimateError    *float64   `json:"estimate_error,omitempty"`
}
