package rules

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// requestedBy is what executions say of who requested them.
const requestedBy = "rule"

// noTrigger stands in the subject of a decision about an event whose own subject names no trigger.
const noTrigger = "_"

// maxReason bounds each reason in a decision, in bytes, so that a decision of many rules stays a message.
const maxReason = 400

// decide asks every rule on the event's trigger and adds the decision to the burst. Rules that do not match are not listed:
// the decision names the set of rules that was asked. An error means that ctx has ended: whatever else goes wrong is part of
// the decision.
func (s *Service) decide(ctx context.Context, b *burst, ev event.Event, mayBeKnown bool) error {
	ref, err := pack.ParseRef(ev.Trigger)
	if err != nil {
		b.reject(ev, err.Error())
		return nil
	}
	t, known := s.indexFor(ctx, ref).triggers[ref]
	if why := t.refuses(ev, known); why != "" {
		b.reject(ev, why)
		return nil
	}
	d := decided{Decision: decision(ev, streams.EventDecided), asked: len(t.rules)}
	if d.RuleSet, err = s.sets.name(t); err != nil {
		return err
	}
	if possible := t.asked().possible(ev); len(possible) > 0 {
		if err := s.askAll(ctx, b, &d, possible, ev, mayBeKnown); err != nil {
			return err
		}
	}
	b.decisions = append(b.decisions, d)
	return nil
}

// askAll asks rules, and adds what they say to the decision that the burst gets next, and what they want to the burst.
func (s *Service) askAll(ctx context.Context, b *burst, d *decided, rules []*rule, ev event.Event, mayBeKnown bool) error {
	vars := ev.Variables()
	for _, r := range rules {
		rd, req := r.ask(ctx, ev, vars)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case rd.Outcome == streams.NotMatched:
			continue
		case req != nil && r.once != nil:
			if err := s.hold(ctx, b, r, ev, vars, &rd, req); err != nil {
				return err
			}
		}
		d.Rules = append(d.Rules, rd)
		if rd.Outcome == streams.Matched {
			b.wanted = append(b.wanted, wanted{Request: *req, decision: len(b.decisions), rule: len(d.Rules) - 1, mayBeKnown: mayBeKnown})
		}
	}
	return nil
}

// refuses tells why a trigger does not take an event; "" means that it does.
func (t *trigger) refuses(ev event.Event, known bool) string {
	switch {
	case !known:
		return "no installed pack has the trigger " + ev.Trigger
	case ev.Hops > event.MaxHops:
		return fmt.Sprintf("%d rules led to this event one after the other, at most %d may", ev.Hops, event.MaxHops)
	case t.broken != nil:
		return "the trigger's schema cannot be used: " + t.broken.Error()
	}
	if err := t.payload.Validate(ev.Value); err != nil {
		return "payload does not fit the trigger's schema: " + err.Error()
	}
	return ""
}

// ask is one rule's decision, with the execution that it wants when it matched.
func (r *rule) ask(ctx context.Context, ev event.Event, vars map[string]any) (streams.RuleDecision, *execution.Request) {
	d := streams.RuleDecision{Rule: r.name}
	req, err := r.evaluate(ctx, vars)
	switch {
	case err != nil:
		d.Outcome, d.Reason = streams.Errored, clip(err.Error())
		return d, nil
	case req == nil:
		d.Outcome = streams.NotMatched
		return d, nil
	}
	req.ID = execution.DeriveID(ev.ID, d.Rule)
	req.By, req.Rule, req.Event, req.Hops = requestedBy, d.Rule, ev.ID, ev.Hops
	req.Priority = streams.Priority(r.Spec.Priority)
	d.Outcome, d.Execution, d.Action = streams.Matched, req.ID, req.Action
	return d, req
}

// evaluate gives the request of a rule that matches; nil for one that does not.
func (r *rule) evaluate(ctx context.Context, vars map[string]any) (*execution.Request, error) {
	if r.broken != nil {
		return nil, r.broken
	}
	if r.criteria != nil {
		matched, err := r.criteria.Match(ctx, vars)
		if err != nil || !matched {
			return nil, err
		}
	}
	params, err := r.parameters.Render(ctx, map[string]any{"event": vars})
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	object, ok := params.(map[string]any)
	if !ok && params != nil {
		return nil, fmt.Errorf("parameters are %T, not an object", params)
	}
	req, err := r.action.Request(ctx, object)
	if err != nil {
		return nil, fmt.Errorf("parameters for %s: %w", r.action.Ref, err)
	}
	return &req, nil
}

func decision(ev event.Event, status streams.EventStatus) streams.Decision {
	return streams.Decision{
		Version: streams.Version, EventID: ev.ID, EventSeq: ev.Sequence, Trigger: ev.Trigger,
		At: time.Now().UTC(), ReceivedAt: ev.ReceivedAt, Status: status,
	}
}

func rejected(ev event.Event, why string) streams.Decision {
	d := decision(ev, streams.EventRejected)
	d.Reason = clip(why)
	return d
}

func clip(s string) string {
	if len(s) <= maxReason {
		return s
	}
	cut := maxReason
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + " ..."
}
