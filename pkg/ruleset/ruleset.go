// Package ruleset is which rules were asked about an event, and what those of them said that did not match.
//
// Most events match few of the rules on their trigger. A decision therefore lists only rules that have more to say than
// that they did not match, and names the set of rules that was asked. The set is stored once. Why a rule of
// it did not match follows from its criteria and the event, neither of which changes, and is found when somebody
// asks. That it did not match is what was decided; nothing that is found later changes that.
package ruleset

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/streams"
)

const (
	// maxSize bounds a set, in bytes: it is a message. One that is larger names its rules without their criteria.
	maxSize = 1 << 20
	// patience bounds how long reasons are looked for.
	patience = 2 * time.Second
)

// Reasons of rules that were not asked, or whose criteria cannot be asked again.
const (
	Disabled = "the rule is disabled"
	Unknown  = "its criteria are false"
)

// namespace derives ids; it is random, made once for Attune, and never changes.
var namespace = uuid.MustParse("6f2b0c7e-3d0e-4c55-9a3b-2f7c1c0b8d41")

// New makes a set of the rules on a trigger. Sets of the same rules have the same id.
func New(trigger string, rules []streams.AskedRule) (streams.RuleSet, error) {
	s := streams.RuleSet{Version: streams.Version, Trigger: trigger, Rules: rules}
	data, err := json.Marshal(s)
	if err == nil && len(data) > maxSize {
		s.Rules = slices.Clone(rules)
		for i := range s.Rules {
			s.Rules[i].When = ""
		}
		data, err = json.Marshal(s)
	}
	if err != nil {
		return s, fmt.Errorf("set of %d rules on %s: encode: %w", len(rules), trigger, err)
	}
	s.ID = uuid.NewHash(sha256.New(), namespace, data, 8).String()
	return s, nil
}

// Complete gives a decision about every rule: those that are listed, and of the others of the set that they did not match,
// and why. They are sorted by name. event is what the rules saw; nil when it is no longer known.
func Complete(ctx context.Context, set streams.RuleSet, listed []streams.RuleDecision, event map[string]any) []streams.RuleDecision {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said := make(map[string]bool, len(listed))
	for _, d := range listed {
		said[d.Rule] = true
	}
	out := slices.Clone(listed)
	for _, r := range set.Rules {
		if !said[r.Rule] {
			out = append(out, streams.RuleDecision{Rule: r.Rule, Outcome: streams.NotMatched, Reason: reason(ctx, r, event)})
		}
	}
	slices.SortStableFunc(out, func(a, b streams.RuleDecision) int { return strings.Compare(a.Rule, b.Rule) })
	return out
}

// reason says why a rule did not match.
func reason(ctx context.Context, r streams.AskedRule, event map[string]any) string {
	switch {
	case r.Disabled:
		return Disabled
	case r.When == "" || event == nil || ctx.Err() != nil:
		return Unknown
	}
	criteria, err := expression.NewCriteria(r.When)
	if err != nil { // of a version with other functions
		return Unknown
	}
	if why := criteria.Explain(ctx, event); why != "" {
		return why
	}
	return Unknown
}
