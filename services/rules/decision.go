package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"

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

// decide asks every rule on the event's trigger and adds the decision to the burst. An error means that ctx has
// ended: whatever else goes wrong is part of the decision.
func (s *Service) decide(ctx context.Context, b *burst, ev event.Event, mayBeKnown bool) error {
	ref, err := pack.ParseRef(ev.Trigger)
	if err != nil {
		b.decisions = append(b.decisions, rejected(ev, err.Error()))
		return nil
	}
	t, known := s.indexFor(ctx, ref).triggers[ref]
	if why := t.refuses(ev, known); why != "" {
		b.decisions = append(b.decisions, rejected(ev, why))
		return nil
	}
	d := decision(ev, streams.EventDecided)
	vars := variables(ev)
	for i, r := range t.rules {
		rd, req := r.ask(ctx, ev, vars)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if req != nil && r.once != nil {
			if err := s.hold(ctx, b, r, ev, vars, &rd, req); err != nil {
				return err
			}
		}
		d.Rules = append(d.Rules, rd)
		if rd.Outcome == streams.Matched {
			b.wanted = append(b.wanted, wanted{Request: *req, decision: len(b.decisions), rule: i, mayBeKnown: mayBeKnown})
		}
	}
	b.decisions = append(b.decisions, d)
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

// variables is what expressions see of an event.
func variables(ev event.Event) map[string]any {
	return map[string]any{
		"id": ev.ID, "trigger": ev.Trigger, "time": ev.Time, "source": ev.Source, "payload": ev.Value,
	}
}

// ask is one rule's decision, with the execution that it wants when it matched.
func (r *rule) ask(ctx context.Context, ev event.Event, vars map[string]any) (streams.RuleDecision, *execution.Request) {
	d := streams.RuleDecision{Rule: r.Ref.String()}
	req, reason, err := r.evaluate(ctx, vars)
	switch {
	case err != nil:
		d.Outcome, d.Reason = streams.Errored, clip(err.Error())
		return d, nil
	case req == nil:
		d.Outcome, d.Reason = streams.NotMatched, clip(reason)
		return d, nil
	}
	req.ID = execution.DeriveID(ev.ID, d.Rule)
	req.By, req.Rule, req.Event, req.Hops = requestedBy, d.Rule, ev.ID, ev.Hops
	req.Priority = streams.Priority(r.Spec.Priority)
	d.Outcome, d.Execution, d.Action = streams.Matched, req.ID, req.Action
	return d, req
}

// evaluate gives the request of a rule that matches, or the reason why it does not.
func (r *rule) evaluate(ctx context.Context, vars map[string]any) (*execution.Request, string, error) {
	switch {
	case !r.Enabled:
		return nil, "the rule is disabled", nil
	case r.broken != nil:
		return nil, "", r.broken
	}
	if r.criteria != nil {
		matched, err := r.criteria.Match(ctx, vars)
		if err != nil || !matched {
			return nil, r.criteria.Explain(ctx, vars), err
		}
	}
	params, err := r.parameters.Render(ctx, map[string]any{"event": vars})
	if err != nil {
		return nil, "", fmt.Errorf("parameters: %w", err)
	}
	object, ok := params.(map[string]any)
	if !ok && params != nil {
		return nil, "", fmt.Errorf("parameters are %T, not an object", params)
	}
	req, err := r.action.Request(ctx, object)
	if err != nil {
		return nil, "", fmt.Errorf("parameters for %s: %w", r.action.Ref, err)
	}
	return &req, "", nil
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

// record stores decisions in order. When it fails in the middle it is repeated from the start: history takes
// each decision once.
func (s *Service) record(ctx context.Context, ds []streams.Decision) error {
	msgs := make([]*nats.Msg, 0, len(ds))
	for _, d := range ds {
		m, err := decisionMessage(d)
		if err != nil {
			return backoff.Permanent(err)
		}
		msgs = append(msgs, m)
	}
	_, err := s.store.Publish(ctx, msgs...)
	return err
}

func decisionMessage(d streams.Decision) (*nats.Msg, error) {
	ref, err := pack.ParseRef(d.Trigger)
	if err != nil {
		ref = pack.Ref{Pack: noTrigger, Name: noTrigger}
	}
	subject, err := streams.DecisionSubject(ref.Pack, ref.Name, d.EventID)
	if err != nil {
		return nil, fmt.Errorf("decision about %s: %w", d.EventID, err)
	}
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("decision about %s: encode: %w", d.EventID, err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(streams.HeaderEventSeq, strconv.FormatUint(d.EventSeq, 10))
	return m, nil
}
