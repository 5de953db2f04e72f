package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schema"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

// tested is what a rule would decide about an event.
type tested struct {
	Rule       string          `json:"rule"`
	Event      string          `json:"event,omitempty"`
	Outcome    streams.Outcome `json:"outcome"`
	Reason     string          `json:"reason,omitempty"`
	Action     string          `json:"action,omitempty"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
	OncePer    string          `json:"once_per,omitempty"` // the window that a match falls into

	key        string // of once_per
	receivedAt time.Time
}

func ruleTest(a *app) *cobra.Command {
	var payload, since string
	var l limit
	c := command("test PACK.RULE [EVENT-ID]", "Tell what a rule would decide about an event, without running anything",
		"attune rule test github.label-issues 0199f3a0-7d1c-7000-8000-000000000001\n"+
			"attune rule test github.label-issues --payload '{\"action\":\"opened\"}'\nattune rule test github.label-issues --since 24h",
		cobra.RangeArgs(1, 2), a.do(func(ctx context.Context, s *session, args []string) error {
			r, err := s.readyRule(ctx, args[0])
			if err != nil {
				return err
			}
			if since != "" {
				return s.testSince(ctx, r, since, l.n)
			}
			e, err := s.eventToTest(ctx, r, args[1:], payload)
			if err != nil {
				return err
			}
			return showOne(s.view, r.test(ctx, e), showTested)
		}))
	c.Flags().StringVar(&payload, "payload", "", "test an event with this payload; - is stdin")
	c.Flags().StringVar(&since, "since", "", "test every recorded event of the rule's trigger since then: a time or how long ago (90s, 1h, 7d)")
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if given := count(len(args) == 2, payload != "", since != ""); given != 1 {
			return usageError(c, errors.New("want one of an event's id, --payload and --since"))
		}
		return nil
	}
	must(c.RegisterFlagCompletionFunc("payload", cobra.NoFileCompletions))
	must(c.RegisterFlagCompletionFunc("since", cobra.NoFileCompletions))
	l.flag(c, 1000)
	return completing(c, a.completeRuleTest)
}

func count(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}

func (a *app) completeRuleTest(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.offer(c, typed, ruleNames)
	case 1:
		return a.offer(c, typed, eventIDs)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// readyRule is a rule that was fetched and compiled, with what it needs to decide.
type readyRule struct {
	rule       api.Rule
	criteria   *expression.Criteria // nil matches every event
	parameters *expression.Template
	once       *expression.Key // nil: no once_per, or one without a key
	action     *invocation.Action
	payload    *schema.Schema // nil takes every payload
}

// readyRule fetches a rule and compiles it as the rules service does.
func (s *session) readyRule(ctx context.Context, ref string) (*readyRule, error) {
	r, err := s.api.Rule(ctx, ref)
	if err != nil {
		return nil, err
	}
	out := &readyRule{rule: r}
	if out.action, err = s.readyAction(ctx, r.Action); err != nil {
		return nil, fmt.Errorf("rule %s: %w", ref, err)
	}
	if r.When != "" {
		if out.criteria, err = expression.NewCriteria(r.When); err != nil {
			return nil, fmt.Errorf("rule %s: when: %w", ref, err)
		}
	}
	if out.parameters, err = expression.NewTemplate(r.Parameters); err != nil {
		return nil, fmt.Errorf("rule %s: parameters: %w", ref, err)
	}
	if out.once, err = onceKey(r.OncePer); err != nil {
		return nil, fmt.Errorf("rule %s: once_per: %w", ref, err)
	}
	t, err := s.api.Trigger(ctx, r.Trigger)
	if err == nil && len(t.Payload) > 0 {
		out.payload, err = schema.Compile(t.Payload)
	}
	if err != nil {
		return nil, fmt.Errorf("rule %s: trigger %s: %w", ref, r.Trigger, err)
	}
	return out, nil
}

func (s *session) readyAction(ctx context.Context, ref string) (*invocation.Action, error) {
	x, err := s.api.Action(ctx, ref)
	if err != nil {
		return nil, err
	}
	return invocation.Compile(definitions.Action{
		Pack: x.Pack, Digest: x.PackDigest,
		Spec: pack.Action{Name: x.Name, Parameters: x.Parameters, Concurrency: x.Concurrency, Pool: x.Pool},
	})
}

// eventToTest is a recorded event, or one that is made of a payload.
func (s *session) eventToTest(ctx context.Context, r *readyRule, args []string, payload string) (api.Event, error) {
	if len(args) == 0 {
		data, err := s.payload([]string{payload})
		now := s.now.UTC()
		return api.Event{Trigger: r.rule.Trigger, Payload: data, Source: "attune rule test", Time: now, ReceivedAt: now}, err
	}
	e, err := s.api.Event(ctx, args[0])
	if err == nil && e.Trigger != r.rule.Trigger {
		err = fmt.Errorf("event %s is of trigger %s; rule %s is on %s", e.ID, e.Trigger, r.rule.Ref, r.rule.Trigger)
	}
	return e, err
}

// testSince tests the recorded events of the rule's trigger, newest first.
func (s *session) testSince(ctx context.Context, r *readyRule, since string, n int) error {
	from, err := moment("since", since, s.now)
	if err != nil {
		return err
	}
	events, more, err := s.api.Events(ctx, client.Filter{"trigger": r.rule.Trigger, "since": from}, n)
	if err != nil {
		return err
	}
	results, matched := make([]tested, len(events)), 0
	for i, e := range events {
		if results[i], err = s.testListed(ctx, r, e); err != nil {
			return err
		}
		matched += count(results[i].Outcome == streams.Matched)
	}
	s.note("%d of %d events match", matched, len(events))
	if o := r.rule.OncePer; o != nil {
		s.note("%d of them would be suppressed: %s", suppress(results, *o), "once per "+o.String())
	}
	return (&limit{}).list(s.view, more, list(s.view, results, "events of "+r.rule.Trigger, testedColumns))
}

// testListed tests an event of a list, which may have come without its payload.
func (s *session) testListed(ctx context.Context, r *readyRule, e api.Event) (tested, error) {
	if len(e.Payload) == 0 {
		whole, err := s.api.Event(ctx, e.ID)
		if err != nil {
			return tested{}, err
		}
		e = whole
	}
	return r.test(ctx, e), nil
}

var testedColumns = []column[tested]{
	{title: "EVENT", cell: func(t tested) string { return t.Event }},
	{title: "OUTCOME", cell: func(t tested) string { return string(t.Outcome) }, paint: paint.status},
	{title: "WHY, OR WITH WHICH PARAMETERS", cell: func(t tested) string { return first(t.Reason, string(t.Parameters)) }},
}

func showTested(s *sheet, t tested) {
	s.field("rule", t.Rule)
	s.field("event", t.Event)
	s.painted("outcome", string(t.Outcome), paint.status)
	s.field("reason", t.Reason)
	s.field("action", t.Action)
	s.field("window", t.OncePer)
	s.json("parameters", t.Parameters)
}

// test decides about an event as the rules service would, if the rule were enabled.
func (r *readyRule) test(ctx context.Context, e api.Event) tested {
	t := tested{Rule: r.rule.Ref, Event: e.ID, Outcome: streams.Errored, receivedAt: e.ReceivedAt}
	vars, err := r.variables(e)
	if err != nil {
		t.Reason = err.Error()
		return t
	}
	if r.criteria != nil {
		matched, err := r.criteria.Match(ctx, vars)
		if err != nil {
			t.Reason = err.Error()
			return t
		}
		if !matched {
			t.Outcome, t.Reason = streams.NotMatched, r.criteria.Explain(ctx, vars)
			return t
		}
	}
	if t.Parameters, err = r.render(ctx, vars); err != nil {
		t.Reason = err.Error()
		return t
	}
	if err := r.window(ctx, vars, &t); err != nil {
		t.Reason, t.Parameters = err.Error(), nil
		return t
	}
	t.Outcome, t.Action = streams.Matched, r.rule.Action
	return t
}

// variables is what the rule's expressions see of an event whose payload its trigger takes.
func (r *readyRule) variables(e api.Event) (map[string]any, error) {
	value, err := strictjson.Parse(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if r.payload != nil {
		if err := r.payload.Validate(value); err != nil {
			return nil, fmt.Errorf("the event is rejected: payload does not fit the trigger's schema: %w", err)
		}
	}
	return event.Event{ID: e.ID, Trigger: e.Trigger, Time: e.Time.Round(time.Microsecond), Source: e.Source, Value: value}.Variables(), nil
}

// render makes the parameters and checks that the action takes them.
func (r *readyRule) render(ctx context.Context, vars map[string]any) (json.RawMessage, error) {
	params, err := r.parameters.Render(ctx, map[string]any{"event": vars})
	if err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	object, ok := params.(map[string]any)
	if !ok && params != nil {
		return nil, fmt.Errorf("parameters are %s, not an object", strictjson.Kind(params))
	}
	request, err := r.action.Request(ctx, object)
	if err != nil {
		return nil, fmt.Errorf("parameters for %s: %w", r.rule.Action, err)
	}
	return request.Parameters, nil
}
