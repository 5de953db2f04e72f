package api

import "time"

// Retention is which logs and what of history is kept, and how the last sweep went.
type Retention struct {
	Logs        RetentionPolicy            `json:"logs" doc:"Of all logs together."`
	Actions     map[string]RetentionPolicy `json:"actions,omitempty" doc:"Of one action's logs, besides; its age takes the place of that of all."`
	History     string                     `json:"history,omitempty" doc:"How long executions and events are known; absent: for ever." example:"365d"`
	Every       string                     `json:"every,omitempty" doc:"How often a sweep begins by itself." example:"1h"`
	StoredBytes int64                      `json:"stored_bytes" doc:"What all logs take in the store now."`
	Sweep       *RetentionSweep            `json:"sweep,omitempty" doc:"The last sweep, or the one that is under way."`
	NextAt      *time.Time                 `json:"next_at,omitempty"`
}

// RetentionPolicy bounds which logs are kept. What is absent bounds nothing.
type RetentionPolicy struct {
	Age   string `json:"age,omitempty" example:"30d"`
	Count int64  `json:"count,omitempty"`
	Bytes int64  `json:"bytes,omitempty"`
}

// RetentionSweep is a sweep.
type RetentionSweep struct {
	StartedAt time.Time       `json:"started_at"`
	EndedAt   *time.Time      `json:"ended_at,omitempty" doc:"Absent while it is under way."`
	Why       string          `json:"why"`
	Error     string          `json:"error,omitempty"`
	Report    RetentionReport `json:"report"`
}

// RetentionReport is what a sweep has removed, or would remove.
type RetentionReport struct {
	Kept       RetentionTotal  `json:"kept" doc:"Logs of executions that there were before."`
	Removed    RetentionTotal  `json:"removed" doc:"Of these, removed."`
	Parts      []RetentionPart `json:"parts,omitempty" doc:"The same by action and bound."`
	Others     RetentionTotal  `json:"others" doc:"Removed logs of sensors, installations and executions that nobody knows any more."`
	Executions int64           `json:"executions" doc:"Removed from history."`
	Events     int64           `json:"events" doc:"Removed from history."`
	Dropped    []string        `json:"dropped,omitempty" doc:"Partitions of history that went as a whole; what they held is counted above."`
	Busy       []string        `json:"busy,omitempty" doc:"Partitions that were to go and were in use; the next sweep tries again."`
}

// RetentionTotal is what some logs are together.
type RetentionTotal struct {
	Logs   int64      `json:"logs"`
	Bytes  int64      `json:"bytes"`
	Oldest *time.Time `json:"oldest,omitempty" doc:"When the execution of the oldest ended."`
	Newest *time.Time `json:"newest,omitempty"`
}

// RetentionPart is what is removed of one action's logs by one bound.
type RetentionPart struct {
	Action string `json:"action"`
	By     string `json:"by" example:"age 30d"`
	RetentionTotal
}

// RetentionAsked is the answer to the wish for a sweep.
type RetentionAsked struct {
	RequestedAt *time.Time       `json:"requested_at,omitempty" doc:"The sweep that begins then or later is the one. Absent in a dry run."`
	WouldRemove *RetentionReport `json:"would_remove,omitempty" doc:"Of a dry run."`
}
