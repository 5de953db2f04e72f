package rules

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/ruleset"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/streams"
)

// index is the rules by trigger, compiled. It does not change once made.
type index struct {
	revision int64 // of the definitions that it was made of
	triggers map[pack.Ref]*trigger
	rules    map[pack.Ref]*rule // every compiled rule, for the next index to take over
}

type trigger struct {
	ref     pack.Ref
	payload *schema.Schema // nil takes any payload
	broken  error          // why the payload's schema cannot be used
	rules   []*rule        // by pack and name

	// Made when they are first asked for:
	asked func() asked
	set   func() (streams.RuleSet, error)
}

// asked is those of a trigger's rules that are enabled. The screen's indexes are theirs.
type asked struct {
	rules  []*rule
	screen *expression.Screen
}

// rule is a rule ready to decide. What could not be compiled is an error that every decision reports.
type rule struct {
	definitions.Rule
	name       string // "pack.name"
	action     *invocation.Action
	criteria   *expression.Criteria // nil matches everything
	parameters *expression.Template
	once       *once // nil lets every event that matches through
	broken     error
}

// newIndex compiles a snapshot, taking over from the old index what has not changed.
func newIndex(snap *definitions.Snapshot, old *index) *index {
	ix := &index{revision: snap.Revision, triggers: make(map[pack.Ref]*trigger, len(snap.Triggers)), rules: map[pack.Ref]*rule{}}
	for ref, t := range snap.Triggers {
		ix.triggers[ref] = compileTrigger(ref, t)
	}
	for _, r := range snap.Rules {
		ix.add(snap, old, r)
	}
	for _, t := range ix.triggers {
		slices.SortFunc(t.rules, byName)
	}
	return ix
}

func compileTrigger(ref pack.Ref, t definitions.Trigger) *trigger {
	out := &trigger{ref: ref}
	out.asked, out.set = sync.OnceValue(out.enabled), sync.OnceValues(out.ruleSet)
	out.payload, out.broken = compileSchema(t.Spec.Payload)
	return out
}

// enabled is the trigger's rules as they are asked. One that is broken has something to say about every event.
func (t *trigger) enabled() (a asked) {
	var criteria []*expression.Criteria
	for _, r := range t.rules {
		switch {
		case !r.Enabled:
			continue
		case r.broken != nil:
			criteria = append(criteria, nil)
		default:
			criteria = append(criteria, r.criteria)
		}
		a.rules = append(a.rules, r)
	}
	a.screen = expression.NewScreen(criteria)
	return a
}

// possible gives those that may match an event.
func (a asked) possible(ev event.Event) (rules []*rule) {
	for _, i := range a.screen.Possible(ev.Variable) {
		rules = append(rules, a.rules[i])
	}
	return rules
}

// ruleSet is the trigger's rules as decisions name them.
func (t *trigger) ruleSet() (streams.RuleSet, error) {
	asked := make([]streams.AskedRule, 0, len(t.rules))
	for _, r := range t.rules {
		asked = append(asked, streams.AskedRule{Rule: r.name, When: r.Spec.When, Disabled: !r.Enabled})
	}
	return ruleset.New(t.ref.String(), asked)
}

// add puts a rule among those of its trigger. Disabled ones are there to say that they are.
func (ix *index) add(snap *definitions.Snapshot, old *index, r definitions.Rule) {
	c := old.reuse(snap, r)
	if c == nil {
		c = compileRule(snap, r)
	}
	ix.rules[r.Ref] = c
	if t := ix.triggers[r.Trigger]; t != nil {
		t.rules = append(t.rules, c)
	}
}

func byName(a, b *rule) int {
	return cmp.Or(cmp.Compare(a.Ref.Pack, b.Ref.Pack), cmp.Compare(a.Ref.Name, b.Ref.Name))
}

// reuse gives the compiled form of a rule when neither it nor its action has changed.
func (ix *index) reuse(snap *definitions.Snapshot, r definitions.Rule) *rule {
	if ix == nil {
		return nil
	}
	c := ix.rules[r.Ref]
	if c == nil || c.broken != nil || !c.UpdatedAt.Equal(r.UpdatedAt) {
		return nil
	}
	if a, ok := snap.Actions[r.Action]; !ok || a.Digest != c.action.Digest {
		return nil
	}
	return c
}

func compileRule(snap *definitions.Snapshot, r definitions.Rule) *rule {
	c := &rule{Rule: r, name: r.Ref.String()}
	c.broken = c.compile(snap)
	return c
}

func (c *rule) compile(snap *definitions.Snapshot) (err error) {
	action, known := snap.Actions[c.Action]
	if !known {
		return fmt.Errorf("action %s is not installed", c.Action)
	}
	if c.action, err = invocation.Compile(action); err != nil {
		return err
	}
	if c.Spec.When != "" {
		if c.criteria, err = expression.NewCriteria(c.Spec.When); err != nil {
			return fmt.Errorf("when: %w", err)
		}
	}
	if c.parameters, err = expression.NewTemplate(c.Spec.Parameters); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	if c.once, err = newOnce(c.Spec.OncePer); err != nil {
		return fmt.Errorf("once_per: %w", err)
	}
	return nil
}

func compileSchema(raw []byte) (*schema.Schema, error) {
	if len(raw) == 0 {
		return nil, nil //nolint:nilnil // no schema takes everything
	}
	return schema.Compile(raw)
}
