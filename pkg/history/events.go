package history

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/streams"
)

// Received is an event as it was read from EVENTS. One whose payload is not acceptable has a Reason, and Raw
// in the place of the payload.
type Received struct {
	event.Event
	Reason string
	Raw    []byte
}

// ApplyEvents merges events, all or none. It may be given any of them again, in any order.
func (s *Store) ApplyEvents(ctx context.Context, events []Received) error {
	first := make(map[string]Received, len(events))
	for _, e := range events {
		e.ReceivedAt = micro(e.ReceivedAt)
		if seen, ok := first[e.ID]; !ok || isEarlier(e, seen) {
			first[e.ID] = e
		}
	}
	var c eventColumns
	for _, e := range first {
		c.add(e)
	}
	if _, err := s.pool.Exec(ctx, query("apply_events"), c.columns()...); err != nil {
		return fmt.Errorf("record %d events: %w", len(events), err)
	}
	return nil
}

func isEarlier(a, b Received) bool {
	return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), cmp.Compare(a.Sequence, b.Sequence)) < 0
}

// eventColumns are the arguments of apply_events.sql, one slice a column.
type eventColumns struct {
	ids                         []string
	seqs                        []int64
	triggers, statuses, reasons []string
	payloads                    []*string
	raws                        [][]byte
	sources                     []string
	hops                        []int
	times, received             []time.Time
}

func (c *eventColumns) columns() []any {
	return []any{c.ids, c.seqs, c.triggers, c.statuses, c.reasons, c.payloads, c.raws, c.sources, c.hops, c.times, c.received}
}

func (c *eventColumns) add(e Received) {
	status, raw, payload := streams.EventReceived, []byte(nil), document(e.Payload)
	if e.Reason != "" {
		status, raw, payload = streams.EventRejected, bounded(e.Raw), nil
	}
	c.ids = append(c.ids, e.ID)
	c.seqs = append(c.seqs, int64(e.Sequence))
	c.triggers = append(c.triggers, clean(e.Trigger))
	c.statuses = append(c.statuses, string(status))
	c.reasons = append(c.reasons, clean(e.Reason))
	c.payloads = append(c.payloads, payload)
	c.raws = append(c.raws, raw)
	c.sources = append(c.sources, clean(e.Source))
	c.hops = append(c.hops, e.Hops)
	c.times = append(c.times, e.Time)
	c.received = append(c.received, e.ReceivedAt)
}

// ApplyDecisions merges decisions, all or none. It may be given any of them again, in any order, and before
// the events that they are about.
func (s *Store) ApplyDecisions(ctx context.Context, decisions []streams.Decision) error {
	newest := make(map[string]streams.Decision, len(decisions))
	rules := make(map[[2]string]ruleDecision, len(decisions))
	for _, d := range decisions {
		d.At = micro(d.At)
		if seen, ok := newest[d.EventID]; !ok || d.At.After(seen.At) {
			newest[d.EventID] = d
		}
		for _, r := range d.Rules {
			key := [2]string{d.EventID, r.Rule}
			if seen, ok := rules[key]; !ok || d.At.After(seen.at) {
				rules[key] = ruleDecision{RuleDecision: r, event: d.EventID, at: d.At}
			}
		}
	}
	if err := s.writeDecisions(ctx, outcomeColumns(newest), decisionColumns(rules)); err != nil {
		return fmt.Errorf("record %d decisions: %w", len(decisions), err)
	}
	return nil
}

func (s *Store) writeDecisions(ctx context.Context, outcomes, decisions []any) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, query("apply_outcomes"), outcomes...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, query("apply_decisions"), decisions...)
		return err
	})
}

type ruleDecision struct {
	streams.RuleDecision
	event string
	at    time.Time
}

// outcomeColumns gives the arguments of apply_outcomes.sql.
func outcomeColumns(decisions map[string]streams.Decision) []any {
	var ids, triggers, statuses, reasons []string
	var seqs []int64
	var at []time.Time
	for _, d := range decisions {
		ids = append(ids, d.EventID)
		seqs = append(seqs, int64(d.EventSeq))
		triggers = append(triggers, clean(d.Trigger))
		statuses = append(statuses, string(d.Status))
		reasons = append(reasons, clean(d.Reason))
		at = append(at, d.At)
	}
	return []any{ids, seqs, triggers, statuses, reasons, at}
}

// decisionColumns gives the arguments of apply_decisions.sql.
func decisionColumns(rules map[[2]string]ruleDecision) []any {
	var events, names, outcomes, reasons, actions []string
	var executions []*string
	var at []time.Time
	for _, r := range rules {
		events = append(events, r.event)
		names = append(names, clean(r.Rule))
		outcomes = append(outcomes, string(r.Outcome))
		reasons = append(reasons, because(r.RuleDecision))
		executions = append(executions, requested(r.RuleDecision))
		actions = append(actions, clean(r.Action))
		at = append(at, r.at)
	}
	return []any{events, names, outcomes, reasons, executions, actions, at}
}

// because gives a decision's reason. What did not match has one in any case.
func because(r streams.RuleDecision) string {
	if r.Reason == "" && r.Outcome != streams.Matched {
		return "no reason was given"
	}
	return clean(r.Reason)
}

// requested gives the execution that a decision led to. One that was suppressed led to none, whatever it names.
func requested(r streams.RuleDecision) *string {
	if r.Outcome != streams.Matched {
		return nil
	}
	return cleanNull(r.Execution)
}
