package api

import (
	"time"

	"github.com/attune/attune/streams"
)

// ScopeAll names all queues together where operators steer them: in the place of an action or a pack.
const ScopeAll = streams.ScopeAll

// MaxKey is the most that a concurrency key may take where one is asked for, in bytes.
const MaxKey = 16 << 10

// MaxQueueLimit is the highest limit that operators may set.
const MaxQueueLimit = 100_000

// QueueStats says how a queue stands: that of an action, of one of its concurrency keys, of a pack, or all.
type QueueStats = streams.QueueStats

// QueueEntry is one execution in a line.
type QueueEntry = streams.QueueEntry

// Queue is an action's line: those that hold a slot first, then the waiting in order, then those between two
// attempts.
type Queue struct {
	QueueStats
	Entries    []QueueEntry `json:"entries" nullable:"false"`
	NextCursor string       `json:"next_cursor,omitempty"`
}

// QueuePlace is where an execution stands in its line.
type QueuePlace struct {
	Position         int        `json:"position" doc:"1 is next; 0 means that it holds a slot, or waits for its next attempt."`
	EstimatedStartAt *time.Time `json:"estimated_start_at,omitempty" doc:"Absent when there is nothing to go by, or its queue is paused."`
	EstimateError    *float64   `json:"estimate_error,omitempty" doc:"How far recent estimates of this queue were off, as a part of the wait: 0.2 is a fifth."`
}

// QueuePause pauses a scope.
type QueuePause struct {
	For string `json:"for,omitempty" doc:"How long, such as 2h; until it is resumed when absent." example:"2h"`
}

// QueueLimit sets the limit of a scope.
type QueueLimit struct {
	Limit *int `json:"limit" minimum:"1" maximum:"100000" doc:"How many run at once; null means what the action, the pack or the installation declares."`
}
