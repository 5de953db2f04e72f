package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// ApplyEvents merges events, and decisions about these and others, all or none. It may be given any of them again, in any
// order, and decisions before the events that they are about and the sets of rules that they name. An event that comes with
// its decision is written once.
func (s *Store) ApplyEvents(ctx context.Context, events []Received, decisions []streams.Decision) error {
	rows := newEventRows(len(events) + len(decisions))
	for i := range events {
		rows.receive(&events[i])
	}
	for i := range decisions {
		rows.decide(&decisions[i])
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := placeEvents(ctx, tx, rows.ids, rows.received, len(events) > 0); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, query("apply_events"), rows.columns()...); err != nil {
			return err
		}
		if len(rows.rules) == 0 {
			return nil
		}
		_, err := tx.Exec(ctx, query("apply_decisions"), rows.decisionColumns()...)
		return err
	})
	if err != nil {
		return fmt.Errorf("record %d events and %d decisions: %w", len(events), len(decisions), err)
	}
	return nil
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
