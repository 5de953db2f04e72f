package api

import (
	"encoding/json"
	"time"

	"github.com/attune/attune/streams"
)

// EventRequest publishes an event. CloudEvents are accepted in its place.
type EventRequest struct {
	Trigger string          `json:"trigger" doc:"The trigger, as pack.name." example:"core.webhook"`
	Payload json.RawMessage `json:"payload,omitempty" doc:"Any JSON that fits the trigger's schema; {} when absent."`
	ID      string          `json:"id,omitempty" format:"uuid" doc:"Gives the event this id, so that publishing it again is publishing the same event."`
	Source  string          `json:"source,omitempty" maxLength:"200"`
	Time    *time.Time      `json:"time,omitempty" doc:"When it happened; now when absent."`
}

// EventAccepted is the answer to a published event.
type EventAccepted struct {
	ID string `json:"id" format:"uuid"`
}

// Event is an instance of a trigger, and what the rules decided about it.
type Event struct {
	ID         string              `json:"id" format:"uuid"`
	Trigger    string              `json:"trigger"`
	Status     streams.EventStatus `json:"status" enum:"received,decided,rejected"`
	Reason     string              `json:"reason,omitempty" doc:"Why it was rejected."`
	Payload    json.RawMessage     `json:"payload,omitempty"`
	Source     string              `json:"source,omitempty"`
	Time       time.Time           `json:"time" doc:"When it happened, as its publisher says."`
	ReceivedAt time.Time           `json:"received_at"`
	DecidedAt  *time.Time          `json:"decided_at,omitempty"`
	Sequence   uint64              `json:"sequence" doc:"Place in the stream of events."`
	Decisions  []Decision          `json:"decisions,omitempty" doc:"What each rule on the trigger decided. Only where one event is shown."`
}

// Decision is one rule's decision about an event.
type Decision struct {
	Rule      string          `json:"rule"`
	Outcome   streams.Outcome `json:"outcome" enum:"matched,not_matched,suppressed,error"`
	Reason    string          `json:"reason,omitempty" doc:"Which part of the criteria was false, or what the error was, or which event of its window went through."`
	Execution string          `json:"execution,omitempty" doc:"The execution that was requested."`
	Action    string          `json:"action,omitempty"`
}

// DeliveryAccepted is the answer to a webhook's delivery.
type DeliveryAccepted struct {
	ID        string `json:"id,omitempty" format:"uuid" doc:"The event's id."`
	Note      string `json:"note,omitempty" doc:"Why there is no event."`
	Challenge string `json:"challenge,omitempty" doc:"What Slack wants to hear when it is told where to deliver."`
}
