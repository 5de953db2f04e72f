package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// setAgain is how long after it was recorded a set of rules that is still asked is recorded again: DECISIONS forgets, and
// history keeps sets by the time when they were last recorded.
const setAgain = 24 * time.Hour

// ruleSets are the sets of rules that decisions name, as far as they are recorded before the next decision. The goroutine
// that decides uses them.
type ruleSets struct {
	known   map[string]time.Time // when each was handed over
	pending []streams.RuleSet    // to be recorded before the next decision
}

func newRuleSets() *ruleSets { return &ruleSets{known: map[string]time.Time{}} }

// name gives the id by which a decision names the rules on a trigger; "" where there are none.
func (s *ruleSets) name(t *trigger) (string, error) {
	if len(t.rules) == 0 {
		return "", nil
	}
	set, err := t.set()
	if err != nil {
		return "", err
	}
	if at, ok := s.known[set.ID]; ok && time.Since(at) < setAgain {
		return set.ID, nil
	}
	if !slices.ContainsFunc(s.pending, func(p streams.RuleSet) bool { return p.ID == set.ID }) {
		s.pending = append(s.pending, set)
	}
	return set.ID, nil
}

// handedOver notes that those that were pending are about to be recorded, before every decision that is yet to be.
func (s *ruleSets) handedOver(at time.Time) {
	if len(s.pending) == 0 {
		return
	}
	maps.DeleteFunc(s.known, func(_ string, at time.Time) bool { return time.Since(at) >= setAgain })
	for _, set := range s.pending {
		s.known[set.ID] = at
	}
	s.pending = nil
}

// setMessages gives sets as they are recorded.
func setMessages(sets []streams.RuleSet, at time.Time) (msgs []*nats.Msg, err error) {
	for _, set := range sets {
		set.At = at.UTC()
		m, err := setMessage(set)
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, m)
	}
	return msgs, nil
}

func setMessage(set streams.RuleSet) (*nats.Msg, error) {
	ref, err := pack.ParseRef(set.Trigger)
	if err != nil {
		return nil, fmt.Errorf("set of rules %s: %w", set.ID, err)
	}
	subject, err := streams.RuleSetSubject(ref.Pack, ref.Name, set.ID)
	if err != nil {
		return nil, fmt.Errorf("set of rules %s: %w", set.ID, err)
	}
	data, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("set of rules %s: encode: %w", set.ID, err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	return m, nil
}
