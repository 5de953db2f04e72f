package execution

import (
	"slices"

	"github.com/attune/attune/streams"
)

// Status is the state of an execution.
type Status = streams.Status

// next lists the changes of status that may happen. Running leads back to Requested only where the action's
// policy repeats an attempt, under the next attempt number; a waiting execution times out only where its action
// bounds the wait.
var next = map[Status][]Status{
	streams.Requested: {streams.Running, streams.Canceled, streams.TimedOut, streams.Lost},
	streams.Running:   {streams.Succeeded, streams.Failed, streams.TimedOut, streams.Canceling, streams.Lost, streams.Requested},
	streams.Canceling: {streams.Canceled, streams.Succeeded, streams.Failed, streams.TimedOut, streams.Lost},
	streams.Lost:      {},
	streams.Succeeded: {},
	streams.Failed:    {},
	streams.TimedOut:  {},
	streams.Canceled:  {},
}

// Statuses lists every status in the order of an execution's life.
func Statuses() []Status {
	return []Status{
		streams.Requested, streams.Running, streams.Canceling, streams.Succeeded,
		streams.Failed, streams.TimedOut, streams.Canceled, streams.Lost,
	}
}

// MayFollow tells whether a status may change from one to the other.
func MayFollow(from, to Status) bool { return slices.Contains(next[from], to) }

// Final tells whether an execution with this status has ended.
func Final(s Status) bool {
	switch s {
	case streams.Succeeded, streams.Failed, streams.TimedOut, streams.Canceled, streams.Lost:
		return true
	case streams.Requested, streams.Running, streams.Canceling:
		return false
	}
	return false
}

// HoldsSlot tells whether an execution with this status has been started and not ended.
func HoldsSlot(s Status) bool { return s == streams.Running || s == streams.Canceling }
