package api

import "time"

// States of a service.
const (
	ServiceActive   = "active"
	ServiceStarting = "starting"
	ServiceLate     = "late"
	ServiceAbsent   = "absent"
)

// Service is how one of the services that work behind the API stands, whatever machine it is on.
type Service struct {
	Name     string    `json:"name" enum:"recorder,rules,scheduler,sensors"`
	State    string    `json:"state" enum:"active,starting,late,absent" doc:"starting: a copy took the work over and does not answer yet; late: it works, and what it has not done yet has waited for over ten seconds; absent: no copy works."`
	Backlogs []Backlog `json:"backlogs" nullable:"false" doc:"What it has to do, of services that work streams off."`
}

// Backlog is what a service has not done yet of a stream.
type Backlog struct {
	Stream   string     `json:"stream" example:"EVENTS"`
	Messages uint64     `json:"messages"`
	Oldest   *time.Time `json:"oldest,omitempty" doc:"When the first of them was published."`
}
