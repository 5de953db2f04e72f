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
	Action                string  `json:"action"`
	Key                   string  `json:"key,omitempty"`
	Waiting               int     `json:"waiting"`
	Running               int     `json:"running"`
	Limit                 int     `json:"limit"` // 0: none
	Paused                bool    `json:"paused"`
	AvgWaitSeconds        float64 `json:"avg_wait_seconds"`
	OldestWaitSeconds     float64 `json:"oldest_wait_seconds"`
	EstimatedDrainSeconds float64 `json:"estimated_drain_seconds"`
}

// QueueEntry is one execution in a line.
type QueueEntry struct {
	ID          string    `json:"id"`
	Key         string    `json:"key,omitempty"`
	Position    int       `json:"position"` // from 1; 0: it holds a slot
	Status      Status    `json:"status"`
	RequestedAt time.Time `json:"requested_at"`
}

// QueueView is a queue with its line in order: those that hold a slot first, then the waiting.
type QueueView struct {
	QueueStats
	Entries []QueueEntry `json:"entries"`
	Error   string       `json:"error,omitempty"` // set instead of the rest when the question cannot be answered
}

// QueueList is all queues that have work or were paused.
type QueueList struct {
	Queues []QueueStats `json:"queues"`
}

// PositionRequest asks for the place of an execution. After is the sequence of its message in QUEUE: the
// leader answers when it has read that far.
type PositionRequest struct {
	ID    string `json:"id"`
	After uint64 `json:"after,omitempty"`
}

// Position is an execution's place in its line: 1 is next, 0 means that it holds a slot or has ended.
type Position struct {
	ID       string `json:"id"`
	Position int    `json:"position"`
	Known    bool   `json:"known"`
}
