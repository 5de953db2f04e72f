package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := placeEvents(ctx, tx, c.ids, c.received, true); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, query("apply_events"), c.columns()...)
		return err
	})
	if err != nil {
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
	payloads                    texts
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
		status, raw, payload = streams.EventRejected, bounded(e.Raw), pgtype.Text{}
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

// ApplyRuleSets merges sets of rules, all or none. It may be given any of them again, in any order.
func (s *Store) ApplyRuleSets(ctx context.Context, sets []streams.RuleSet) error {
	newest := make(map[string]streams.RuleSet, len(sets))
	for _, set := range sets {
		if seen, ok := newest[set.ID]; !ok || set.At.After(seen.At) {
			newest[set.ID] = set
		}
	}
	var ids, triggers, rules []string
	var at []time.Time
	for _, id := range slices.Sorted(maps.Keys(newest)) { // in one order, for others who do the same
		set := newest[id]
		asked, err := json.Marshal(set.Rules)
		if err != nil {
			return fmt.Errorf("record rules %s: encode: %w", id, err)
		}
		ids, triggers, rules, at = append(ids, id), append(triggers, clean(set.Trigger)), append(rules, clean(string(asked))), append(at, micro(set.At))
	}
	if _, err := s.pool.Exec(ctx, query("apply_rule_sets"), ids, triggers, rules, at); err != nil {
		return fmt.Errorf("record %d sets of rules: %w", len(sets), err)
	}
	return nil
}

// RuleSet gives the rules that decisions name by that id. It returns ErrNotFound.
func (s *Store) RuleSet(ctx context.Context, id string) (streams.RuleSet, error) {
	set := streams.RuleSet{Version: streams.Version, ID: id}
	if !isUUID(id) {
		return set, fmt.Errorf("rules %.80q: %w", id, ErrNotFound)
	}
	var rules []byte
	err := s.pool.QueryRow(ctx, `SELECT trigger, rules, recorded_at FROM rule_sets WHERE id = $1`, id).Scan(&set.Trigger, &rules, &set.At)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal(rules, &set.Rules)
	}
	if err != nil {
		return set, fmt.Errorf("rules %s: %w", id, err)
	}
	set.At = set.At.UTC()
	return set, nil
}

// ApplyDecisions merges decisions, all or none. It may be given any of them again, in any order, and before
// the events that they are about and the sets of rules that they name.
func (s *Store) ApplyDecisions(ctx context.Context, decisions []streams.Decision) error {
	var o outcomes
	rules := make(map[[2]string]ruleDecision, len(decisions))
	for _, d := range decisions {
		d.At = micro(d.At)
		o.note(d)
		for _, r := range d.Rules {
			key := [2]string{d.EventID, r.Rule}
			if seen, ok := rules[key]; !ok || d.At.After(seen.at) {
				rules[key] = ruleDecision{RuleDecision: r, event: d.EventID, at: d.At}
			}
		}
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := placeEvents(ctx, tx, o.ids, o.received, false); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, query("apply_outcomes"), o.columns()...); err != nil {
			return err
		}
		if len(rules) == 0 {
			return nil
		}
		_, err := tx.Exec(ctx, query("apply_decisions"), o.decisionColumns(rules)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("record %d decisions: %w", len(decisions), err)
	}
	return nil
}

// outcomes are what became of events: of each its newest decision, and the first time that is said of its arrival.
type outcomes struct {
	places   map[string]int // of the events in the columns
	ids      []string
	newest   []streams.Decision
	received []time.Time
}

func (o *outcomes) note(d streams.Decision) {
	received := micro(d.ReceivedAt)
	if d.ReceivedAt.IsZero() { // of a rules service that did not say
		received = d.At
	}
	i, ok := o.places[d.EventID]
	if !ok {
		if o.places == nil {
			o.places = map[string]int{}
		}
		o.places[d.EventID] = len(o.ids)
		o.ids, o.newest, o.received = append(o.ids, d.EventID), append(o.newest, d), append(o.received, received)
		return
	}
	if d.At.After(o.newest[i].At) {
		o.newest[i] = d
	}
	if received.Before(o.received[i]) {
		o.received[i] = received
	}
}

// columns gives the arguments of apply_outcomes.sql.
func (o *outcomes) columns() []any {
	var triggers, statuses, reasons []string
	var seqs []int64
	var sets []*string
	var at []time.Time
	for _, d := range o.newest {
		seqs = append(seqs, int64(d.EventSeq))
		triggers = append(triggers, clean(d.Trigger))
		statuses = append(statuses, string(d.Status))
		reasons = append(reasons, clean(d.Reason))
		sets = append(sets, null(d.RuleSet))
		at = append(at, d.At)
	}
	return []any{o.ids, seqs, triggers, statuses, reasons, sets, at, o.received}
}

type ruleDecision struct {
	streams.RuleDecision
	event string
	at    time.Time
}

// decisionColumns gives the arguments of apply_decisions.sql.
func (o *outcomes) decisionColumns(rules map[[2]string]ruleDecision) []any {
	var events, names, results, reasons, actions []string
	var executions []*string
	var eventsAt, at []time.Time
	for _, r := range rules {
		events = append(events, r.event)
		eventsAt = append(eventsAt, o.received[o.places[r.event]])
		names = append(names, clean(r.Rule))
		results = append(results, string(r.Outcome))
		reasons = append(reasons, because(r.RuleDecision))
		executions = append(executions, requested(r.RuleDecision))
		actions = append(actions, clean(r.Action))
		at = append(at, r.at)
	}
	return []any{events, eventsAt, names, results, reasons, executions, actions, at}
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
