package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func (s *Server) routeStreams(a huma.API) {
	executions := op(mayList(access.View, access.Executions), http.MethodGet, "/executions/stream", "stream-executions", "Executions",
		"Follow changes of executions as server-sent events", http.StatusNotFound, http.StatusTooManyRequests)
	executions.Description = streamNote
	register(s, a, executions, s.streamExecutions)
	events := op(mayList(access.View, access.Events), http.MethodGet, "/events/stream", "stream-events", "Events",
		"Follow events as they come, as server-sent events", http.StatusNotFound, http.StatusTooManyRequests)
	events.Description = streamNote
	register(s, a, events, s.streamEvents)
	for _, o := range []huma.Operation{executions, events} {
		documentAnswer(a, o, "text/event-stream")
	}
}

const streamNote = "Begins with what happens from now on, or behind Last-Event-ID. An event named gap says that what came between cannot be sent any more. " +
	"A client that does not read is dropped after a while, and may resume."

// Resume says where a client left off.
type Resume struct {
	LastID string `header:"Last-Event-ID" doc:"Resume behind the event of this id"`
}

type executionFeed struct {
	Resume
	ID     string `query:"id" doc:"Only this execution"`
	Action string `query:"action" doc:"Only this action's"`
	Rule   string `query:"rule" doc:"Only this rule's"`
	Status string `query:"status" doc:"Only changes to one of these statuses, separated by commas"`
}

func (s *Server) streamExecutions(ctx context.Context, in *executionFeed) (*huma.StreamResponse, error) {
	statuses, err := parseStatuses(in.Status)
	if err != nil {
		return nil, err
	}
	filters, err := executionSubjects(in)
	if err != nil {
		return nil, err
	}
	reach := s.reach(ctx, access.View, access.Executions)
	return s.streaming(s.serveFeed(feed{
		name: wire.StreamedExecution, stream: streams.Executions, filters: filters,
		render: func(m jetstream.Msg) (any, bool) {
			f, err := execution.ParseFact(m.Data())
			if err != nil || (in.Rule != "" && f.Rule != in.Rule) || (statuses != nil && !slices.Contains(statuses, f.Status)) {
				return nil, false
			}
			if scope, ok := scopeOf(f.Action); !ok || !reach.Has(scope) {
				return nil, false
			}
			return wire.FromFact(f, nil), in.ID == "" || in.Action == "" || f.Action == in.Action
		},
	}, in.LastID)), nil
}

// executionSubjects narrows the feed on the server's side.
func executionSubjects(in *executionFeed) ([]string, error) {
	switch {
	case in.ID != "":
		if !isID(in.ID) {
			return nil, invalid("id", "want an execution's id")
		}
		subject, err := streams.AnyExecutionSubject(in.ID)
		return []string{subject}, err
	case in.Action != "":
		ref, err := pack.ParseRef(in.Action)
		if err != nil {
			return nil, invalid("action", "want PACK.ACTION")
		}
		subject, err := streams.ExecutionsOf(ref.Pack, ref.Name)
		return []string{subject}, err
	}
	return nil, nil
}

type eventFeed struct {
	Resume
	Trigger string `query:"trigger" doc:"Only this trigger's"`
}

func (s *Server) streamEvents(ctx context.Context, in *eventFeed) (*huma.StreamResponse, error) {
	reach := s.reach(ctx, access.View, access.Events)
	f := feed{name: wire.StreamedEvent, stream: streams.Events, render: func(m jetstream.Msg) (any, bool) { return renderEvent(m, reach) }}
	if in.Trigger != "" {
		ref, err := pack.ParseRef(in.Trigger)
		if err != nil {
			return nil, invalid("trigger", "want PACK.TRIGGER")
		}
		subject, err := streams.EventSubject(ref.Pack, ref.Name)
		if err != nil {
			return nil, err
		}
		f.filters = []string{subject}
	}
	return s.streaming(s.serveFeed(f, in.LastID)), nil
}

// renderEvent leaves out what is beyond reach, and that includes events of no trigger that can be told.
func renderEvent(m jetstream.Msg, reach access.Reach) (any, bool) {
	msg, err := event.FromJetStream(m)
	if err != nil {
		return nil, false
	}
	e, rejected := event.FromMessage(msg)
	if scope, ok := scopeOf(e.Trigger); !reach.All && (!ok || !reach.Has(scope)) {
		return nil, false
	}
	return liveEvent(e, rejected), true
}
