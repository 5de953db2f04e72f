package packtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/strictjson"
)

// decide shows an event to every rule of the pack on its trigger, and compares what they decide.
func (t *tester) decide(ctx context.Context, tc pack.TestCase, r *Result) {
	trigger, err := t.ref(tc.Event.Trigger)
	if err != nil {
		r.fail("event.trigger: %v", err)
		return
	}
	event, err := t.event(trigger, tc.Event)
	if err != nil {
		r.fail("%v", err)
		return
	}
	matched := map[string]bool{}
	for _, rule := range t.pack.Rules {
		on, action, err := rule.Refs(t.pack.Name)
		if err != nil || on != trigger {
			continue
		}
		params, matches, why := t.show(ctx, rule, action, event)
		wanted, expected := tc.Expect.Rules[rule.Name]
		switch errs := slices.Contains(tc.Expect.Errors, rule.Name); {
		case why != nil && !errs:
			r.fail("rule %s: cannot decide: %v", rule.Name, why)
		case why == nil && errs:
			r.fail("rule %s: decides, and was not to be able to", rule.Name)
		case matches && !expected:
			r.fail("rule %s: matches, and was not to; with %s", rule.Name, brief(params))
		case matches && wanted != nil && !same(any(wanted), any(params)):
			r.fail("rule %s: parameters differ:\n%s", rule.Name, difference(wanted, params))
		}
		matched[rule.Name] = matches || why != nil
	}
	for _, name := range slices.Sorted(maps.Keys(tc.Expect.Rules)) {
		if !matched[name] {
			r.fail("rule %s: does not match", name)
		}
	}
}

func (t *tester) ref(text string) (pack.Ref, error) {
	if pack.ValidName(text) {
		return pack.Ref{Pack: t.pack.Name, Name: text}, nil
	}
	return pack.ParseRef(text)
}

// event is what the expressions of rules see.
func (t *tester) event(trigger pack.Ref, e *pack.TestEvent) (map[string]any, error) {
	data, err := json.Marshal(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("event.payload: %w", err)
	}
	payload, err := strictjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("event.payload: %w", err)
	}
	i := slices.IndexFunc(t.pack.Triggers, func(o pack.Trigger) bool { return o.Name == trigger.Name })
	switch {
	case trigger.Pack != t.pack.Name:
	case i < 0:
		return nil, fmt.Errorf("event.trigger: this pack has no trigger %q", trigger.Name)
	default:
		s, err := schema.Compile(t.pack.Triggers[i].Payload)
		if err == nil {
			err = s.Validate(payload)
		}
		if err != nil {
			return nil, fmt.Errorf("event.payload does not fit the trigger's schema, and would be rejected: %w", err)
		}
	}
	at := time.Now().UTC().Round(time.Microsecond)
	return event.Event{ID: executionID, Trigger: trigger.String(), Time: at, Source: e.Source, Value: payload}.Variables(), nil
}

// show tells whether a rule matches an event and what it gives to its action.
func (t *tester) show(ctx context.Context, rule pack.Rule, to pack.Ref, event map[string]any) (params map[string]any, matches bool, err error) {
	if rule.When != "" {
		criteria, err := expression.NewCriteria(rule.When)
		if err != nil {
			return nil, false, err
		}
		if matches, err := criteria.Match(ctx, event); err != nil || !matches {
			return nil, false, err
		}
	}
	template, err := expression.NewTemplate(rule.Parameters)
	if err != nil {
		return nil, false, err
	}
	value, err := template.Render(ctx, map[string]any{"event": event})
	if err != nil {
		return nil, false, fmt.Errorf("parameters: %w", err)
	}
	if params, err = asJSON(value); err != nil {
		return nil, false, fmt.Errorf("parameters: %w", err)
	}
	if a, own := t.actions[to.Name]; own && to.Pack == t.pack.Name {
		if _, err := a.ready.Request(ctx, params); err != nil {
			return nil, false, fmt.Errorf("parameters for %s: %w", to, err)
		}
	}
	return params, true, nil
}

// asJSON makes what a template gave what the action would be given.
func asJSON(v any) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	plain, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	object, _ := plain.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	return object, nil
}
