package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/streams"
)

type eventByID struct {
	ID string `path:"id" doc:"The event's id"`
}

func (s *Server) showEvent(ctx context.Context, in *eventByID) (*reply[wire.Event], error) {
	e, err := s.findEvent(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	view := access.Right{Verb: access.View, Kind: access.Events}
	if err := s.admitTo(ctx, view, e.Trigger, notFound("event", in.ID)); err != nil {
		return nil, err
	}
	return answer(visible(ctx, e)), nil
}

// visible leaves out the decisions of rules that the caller may not see, and the executions that it may not see.
func visible(ctx context.Context, e wire.Event) wire.Event {
	p := access.From(ctx)
	sees := func(kind access.Kind, ref string) bool {
		scope, ok := scopeOf(ref)
		return ok && p.May(access.Right{Verb: access.View, Kind: kind}, scope)
	}
	var shown []wire.Decision
	for _, d := range e.Decisions {
		if !sees(access.Rules, d.Rule) {
			continue
		}
		if d.Action != "" && !sees(access.Executions, d.Action) {
			d.Execution = ""
		}
		shown = append(shown, d)
	}
	e.Decisions = shown
	return e
}

// findEvent answers from history, and from the bus while history has not caught up or does not answer.
func (s *Server) findEvent(ctx context.Context, id string) (wire.Event, error) {
	if !isID(id) {
		return wire.Event{}, notFound("event", id)
	}
	past, err := s.pastEvent(ctx, id)
	if err == nil && past.Status != streams.EventReceived {
		return past, nil
	}
	now, busErr := onBus(ctx, s, func(ctx context.Context) (wire.Event, error) { return s.presentEvent(ctx, id) })
	switch {
	case busErr == nil:
		return now, nil
	case err == nil:
		return past, nil
	case isNotFound(busErr) && errors.Is(err, history.ErrNotFound):
		return wire.Event{}, notFound("event", id)
	case isNotFound(busErr):
		return wire.Event{}, err // it may be in the history that cannot be read
	}
	return wire.Event{}, busErr
}

func (s *Server) pastEvent(ctx context.Context, id string) (wire.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, historyPatience)
	defer cancel()
	e, err := s.history.Event(ctx, id)
	return pastEvent(e), err
}

// errNoEvent is returned when the bus does not hold an event.
var errNoEvent = fmt.Errorf("event: %w", execution.ErrNotFound)

// presentEvent finds an event on the bus: by what was decided about it, or, when nothing was yet, among those
// that came just now.
func (s *Server) presentEvent(ctx context.Context, id string) (wire.Event, error) {
	decided, err := s.decision(ctx, id)
	if errors.Is(err, errNoEvent) {
		return s.recentEvent(ctx, id)
	}
	if err != nil {
		return wire.Event{}, err
	}
	out, err := s.eventAt(ctx, decided.EventSeq)
	if errors.Is(err, errNoEvent) { // the event has left its stream; the decision is enough
		out = wire.Event{ID: id, Trigger: decided.Trigger, Time: decided.At, ReceivedAt: decided.At, Sequence: decided.EventSeq}
	} else if err != nil {
		return wire.Event{}, err
	}
	out.Status, out.Reason, out.DecidedAt = decided.Status, decided.Reason, &decided.At
	for _, d := range decided.Rules {
		out.Decisions = append(out.Decisions, wire.Decision{
			Rule: d.Rule, Outcome: d.Outcome, Reason: d.Reason, Execution: d.Execution, Action: d.Action,
		})
	}
	return out, nil
}

func (s *Server) decision(ctx context.Context, id string) (streams.Decision, error) {
	var d streams.Decision
	subject, err := streams.AnyDecisionSubject(id)
	if err != nil {
		return d, err
	}
	stream, err := s.config.Bus.JS.Stream(ctx, streams.Decisions)
	if err != nil {
		return d, fmt.Errorf("open stream %s: %w", streams.Decisions, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return d, errNoEvent
	}
	if err != nil {
		return d, fmt.Errorf("decision about event %s: %w", id, err)
	}
	if err := json.Unmarshal(msg.Data, &d); err != nil {
		return d, fmt.Errorf("decision about event %s: %w", id, err)
	}
	return d, nil
}

func (s *Server) eventAt(ctx context.Context, sequence uint64) (wire.Event, error) {
	stream, err := s.config.Bus.JS.Stream(ctx, streams.Events)
	if err != nil {
		return wire.Event{}, fmt.Errorf("open stream %s: %w", streams.Events, err)
	}
	msg, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return wire.Event{}, errNoEvent
	}
	if err != nil {
		return wire.Event{}, fmt.Errorf("event at sequence %d: %w", sequence, err)
	}
	e, rejected := event.FromMessage(event.Message{
		Subject: msg.Subject, Header: msg.Header, Data: msg.Data, Sequence: msg.Sequence, Time: msg.Time,
	})
	return liveEvent(e, rejected), nil
}

// recentEvents bounds the search for an event that nobody has decided yet.
const (
	recentAge    = 30 * time.Second
	recentEvents = 5000
)

// recentEvent looks among the newest events: from the time in the id, where it has one.
func (s *Server) recentEvent(ctx context.Context, id string) (wire.Event, error) {
	from := time.Now().Add(-recentAge)
	if parsed, err := uuid.Parse(id); err == nil && parsed.Version() == 7 {
		sec, nsec := parsed.Time().UnixTime()
		from = time.Unix(sec, nsec).Add(-time.Second)
	}
	found, err := s.scanEvents(ctx, from, id)
	if err != nil {
		return wire.Event{}, err
	}
	return s.eventAt(ctx, found)
}

// scanEvents reads headers from a time on until it finds the event, and gives its sequence.
func (s *Server) scanEvents(ctx context.Context, from time.Time, id string) (uint64, error) {
	c, err := s.config.Bus.JS.OrderedConsumer(ctx, streams.Events, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from, HeadersOnly: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, fmt.Errorf("look for event %s: %w", id, err)
	}
	if c.CachedInfo().NumPending == 0 {
		return 0, errNoEvent
	}
	messages, err := c.Messages()
	if err != nil {
		return 0, fmt.Errorf("look for event %s: %w", id, err)
	}
	defer messages.Stop()
	for range recentEvents {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return 0, fmt.Errorf("look for event %s: %w", id, err)
		}
		m, err := event.FromJetStream(msg)
		if err != nil {
			return 0, err
		}
		if e, _ := event.FromMessage(m); e.ID == id { // its payload is not read here
			return m.Sequence, nil
		}
		if meta, err := msg.Metadata(); err == nil && meta.NumPending == 0 {
			break
		}
	}
	return 0, errNoEvent
}
