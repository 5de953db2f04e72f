package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/ruleset"
	"github.com/attune/attune/pkg/strictjson"
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
	past, whole, err := s.pastEvent(ctx, id)
	if err == nil && whole {
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

// pastEvent finds an event in history, and tells whether history has all of it: its parts come by themselves.
func (s *Server) pastEvent(ctx context.Context, id string) (out wire.Event, whole bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, historyPatience)
	defer cancel()
	e, err := s.history.Event(ctx, id)
	if err != nil {
		return out, false, err
	}
	out = pastEvent(e)
	switch {
	case e.Status == streams.EventReceived:
		return out, false, nil
	case e.Asked == nil:
		return out, e.RuleSet == "", nil
	}
	out.Decisions = decisions(ruleset.Complete(ctx, *e.Asked, asListed(e.Decisions), variables(e)))
	return out, len(e.Payload) > 0, nil
}

// asListed gives decisions of history as they were on the bus.
func asListed(of []history.Decision) []streams.RuleDecision {
	out := make([]streams.RuleDecision, 0, len(of))
	for _, d := range of {
		out = append(out, streams.RuleDecision{Rule: d.Rule, Outcome: d.Outcome, Reason: d.Reason, Execution: d.Execution, Action: d.Action})
	}
	return out
}

// variables is what the rules saw of an event; nil when its payload is not known.
func variables(e history.Event) map[string]any {
	value, err := strictjson.Parse(e.Payload)
	if err != nil {
		return nil
	}
	return event.Event{ID: e.ID, Trigger: e.Trigger, Time: e.Time, Source: e.Source, Value: value}.Variables()
}

func decisions(of []streams.RuleDecision) []wire.Decision {
	out := make([]wire.Decision, 0, len(of))
	for _, d := range of {
		out = append(out, wire.Decision{Rule: d.Rule, Outcome: d.Outcome, Reason: d.Reason, Execution: d.Execution, Action: d.Action})
	}
	return out
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
	var out wire.Event
	var saw map[string]any
	e, rejected, err := s.eventAt(ctx, decided.EventSeq)
	switch {
	case errors.Is(err, errNoEvent): // the event has left its stream; the decision is enough
		out = wire.Event{ID: id, Trigger: decided.Trigger, Time: decided.At, ReceivedAt: decided.At, Sequence: decided.EventSeq}
	case err != nil:
		return wire.Event{}, err
	default:
		out, saw = liveEvent(e, rejected), e.Variables()
	}
	out.Status, out.Reason, out.DecidedAt = decided.Status, decided.Reason, &decided.At
	asked, err := s.ruleSet(ctx, decided.RuleSet)
	if err != nil {
		return wire.Event{}, err
	}
	out.Decisions = decisions(ruleset.Complete(ctx, asked, decided.Rules, saw))
	return out, nil
}

// ruleSet gives the rules that a decision names: from the bus, which has every one that was asked of late.
func (s *Server) ruleSet(ctx context.Context, id string) (set streams.RuleSet, err error) {
	if id == "" {
		return set, nil
	}
	subject, err := streams.AnyRuleSetSubject(id)
	if err != nil {
		return set, err
	}
	msg, err := s.lastDecided(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		set, err = s.history.RuleSet(ctx, id)
	case err == nil:
		err = json.Unmarshal(msg.Data, &set)
	}
	if errors.Is(err, history.ErrNotFound) { // it comes before what names it: somebody has removed it
		s.log.WarnContext(ctx, "rules that a decision names are not known", slog.String("rules", id))
		return streams.RuleSet{}, nil
	}
	if err != nil {
		return set, fmt.Errorf("rules %s: %w", id, err)
	}
	return set, nil
}

func (s *Server) decision(ctx context.Context, id string) (streams.Decision, error) {
	var d streams.Decision
	subject, err := streams.AnyDecisionSubject(id)
	if err != nil {
		return d, err
	}
	msg, err := s.lastDecided(ctx, subject)
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

// lastDecided gives the last message of DECISIONS on a subject. It returns jetstream.ErrMsgNotFound.
func (s *Server) lastDecided(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	stream, err := s.config.Bus.JS.Stream(ctx, streams.Decisions)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", streams.Decisions, err)
	}
	return stream.GetLastMsgForSubject(ctx, subject)
}

// eventAt reads an event; one that was rejected with the reason.
func (s *Server) eventAt(ctx context.Context, sequence uint64) (e event.Event, rejected, err error) {
	stream, err := s.config.Bus.JS.Stream(ctx, streams.Events)
	if err != nil {
		return e, nil, fmt.Errorf("open stream %s: %w", streams.Events, err)
	}
	msg, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return e, nil, errNoEvent
	}
	if err != nil {
		return e, nil, fmt.Errorf("event at sequence %d: %w", sequence, err)
	}
	e, rejected = event.FromMessage(event.Message{
		Subject: msg.Subject, Header: msg.Header, Data: msg.Data, Sequence: msg.Sequence, Time: msg.Time,
	})
	return e, rejected, nil
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
	e, rejected, err := s.eventAt(ctx, found)
	if err != nil {
		return wire.Event{}, err
	}
	return liveEvent(e, rejected), nil
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
