package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func (s *Server) routeDefinitions(a huma.API) {
	get := func(d demand, path, id, tag, summary string, errs ...int) huma.Operation {
		return op(d, http.MethodGet, path, id, tag, summary, errs...)
	}
	register(s, a, get(mayList(access.View, access.Actions), "/actions", "list-actions", "Actions", "List actions"), s.listActions)
	register(s, a, get(mayAt(access.View, access.Actions, "ref", "action"), "/actions/{ref}", "show-action", "Actions", "Show an action", http.StatusNotFound), s.showAction)
	register(s, a, get(mayList(access.View, access.Triggers), "/triggers", "list-triggers", "Triggers", "List triggers"), s.listTriggers)
	register(s, a, get(mayAt(access.View, access.Triggers, "ref", "trigger"), "/triggers/{ref}", "show-trigger", "Triggers", "Show a trigger", http.StatusNotFound), s.showTrigger)
	register(s, a, get(mayList(access.View, access.Rules), "/rules", "list-rules", "Rules", "List rules"), s.listRules)
	register(s, a, get(mayAt(access.View, access.Rules, "ref", "rule"), "/rules/{ref}", "show-rule", "Rules", "Show a rule", http.StatusNotFound), s.showRule)
	register(s, a, op(mayAt(access.Operate, access.Rules, "ref", "rule"), http.MethodPost, "/rules/{ref}/enable", "enable-rule", "Rules", "Let a rule decide events", http.StatusNotFound), s.enableRule)
	register(s, a, op(mayAt(access.Operate, access.Rules, "ref", "rule"), http.MethodPost, "/rules/{ref}/disable", "disable-rule", "Rules", "Let a rule rest", http.StatusNotFound), s.disableRule)
}

// PackFilter chooses a pack's definitions.
type PackFilter struct {
	Paging
	Pack string `query:"pack" doc:"Only this pack's"`
}

type ruleFilter struct {
	PackFilter
	Trigger string `query:"trigger" doc:"Only this trigger's"`
}

func (s *Server) listActions(ctx context.Context, in *PackFilter) (*reply[wire.Page[wire.Action]], error) {
	return listOf(s, s.reach(ctx, access.View, access.Actions), in, func(v *view) map[pack.Ref]definitions.Action { return v.Actions }, s.actionOf, func(a wire.Action) string { return a.Ref })
}

func (s *Server) showAction(_ context.Context, in *ByRef) (*reply[wire.Action], error) {
	return oneOf(s, "action", in.Ref, func(v *view) map[pack.Ref]definitions.Action { return v.Actions }, s.actionOf)
}

func (s *Server) listTriggers(ctx context.Context, in *PackFilter) (*reply[wire.Page[wire.Trigger]], error) {
	return listOf(s, s.reach(ctx, access.View, access.Triggers), in, func(v *view) map[pack.Ref]definitions.Trigger { return v.Triggers }, triggerOf, func(t wire.Trigger) string { return t.Ref })
}

func (s *Server) showTrigger(_ context.Context, in *ByRef) (*reply[wire.Trigger], error) {
	return oneOf(s, "trigger", in.Ref, func(v *view) map[pack.Ref]definitions.Trigger { return v.Triggers }, triggerOf)
}

func (s *Server) listRules(ctx context.Context, in *ruleFilter) (*reply[wire.Page[wire.Rule]], error) {
	rules := func(v *view) map[pack.Ref]definitions.Rule {
		if in.Trigger == "" {
			return v.Rules
		}
		chosen := map[pack.Ref]definitions.Rule{}
		for ref, r := range v.Rules {
			if r.Trigger.String() == in.Trigger {
				chosen[ref] = r
			}
		}
		return chosen
	}
	return listOf(s, s.reach(ctx, access.View, access.Rules), &in.PackFilter, rules, ruleOf, func(r wire.Rule) string { return r.Ref })
}

func (s *Server) showRule(_ context.Context, in *ByRef) (*reply[wire.Rule], error) {
	return oneOf(s, "rule", in.Ref, func(v *view) map[pack.Ref]definitions.Rule { return v.Rules }, ruleOf)
}

func (s *Server) enableRule(ctx context.Context, in *ByRef) (*reply[wire.Rule], error) {
	return s.setRule(ctx, in, true)
}

func (s *Server) disableRule(ctx context.Context, in *ByRef) (*reply[wire.Rule], error) {
	return s.setRule(ctx, in, false)
}

func (s *Server) setRule(ctx context.Context, in *ByRef, enabled bool) (*reply[wire.Rule], error) {
	ref, err := pack.ParseRef(in.Ref)
	if err != nil {
		return nil, notFound("rule", in.Ref)
	}
	if v, err := s.defs.view(); err == nil {
		note(ctx, ref.String(), map[string]bool{"enabled": v.Rules[ref].Enabled}, map[string]bool{"enabled": enabled})
	}
	err = s.store.SetRuleEnabled(ctx, ref, enabled)
	if errors.Is(err, definitions.ErrNotFound) {
		return nil, notFound("rule", in.Ref)
	}
	if err != nil {
		return nil, err
	}
	if err := s.defs.refresh(ctx); err != nil {
		return nil, err
	}
	return s.showRule(ctx, in)
}

// listOf gives a page of one kind of definition.
func listOf[D, W any](s *Server, reach access.Reach, in *PackFilter, of func(*view) map[pack.Ref]D, show func(pack.Ref, D) W, key func(W) string) (*reply[wire.Page[W]], error) {
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	all := []W{}
	for ref, d := range of(v) {
		if reach.HasPack(ref.Pack) && (in.Pack == "" || ref.Pack == in.Pack) {
			all = append(all, show(ref, d))
		}
	}
	return pageOf(all, in.Paging, key)
}

// oneOf gives one definition.
func oneOf[D, W any](s *Server, kind, text string, of func(*view) map[pack.Ref]D, show func(pack.Ref, D) W) (*reply[W], error) {
	v, err := s.defs.view()
	if err != nil {
		return nil, err
	}
	ref, err := pack.ParseRef(text)
	if err != nil {
		return nil, notFound(kind, text)
	}
	d, ok := of(v)[ref]
	if !ok {
		return nil, notFound(kind, text)
	}
	return answer(show(ref, d)), nil
}

func (s *Server) actionOf(ref pack.Ref, d definitions.Action) wire.Action {
	a := d.Spec
	return wire.Action{
		Ref: ref.String(), Pack: ref.Pack, Name: ref.Name, Description: a.Description, Runtime: a.Runtime, EntryPoint: a.EntryPoint,
		Variables: a.Variables, Parameters: a.Parameters, Secrets: a.Secrets, Output: a.Output, OutputSchema: a.OutputSchema, Retention: ownPolicy(a),
		Timeout: durationOr(a.Timeout, pack.DefaultTimeout), Concurrency: a.Concurrency, Pool: textOr(a.Pool, pack.DefaultPool), PackDigest: d.Digest,
		Rate: a.Rate.String(), Retry: a.Retry, QueueTimeout: durationText(a.QueueTimeout),
		Needs: d.Ranges[a.Runtime], RunsOn: a.RunsOn, Resources: a.Resources, Warm: a.Warm, Container: a.Container, Logs: s.logLimits(a.Logs),
	}
}

// logLimits shows the limits that hold for an action's output, which are the installation's where it has none.
func (s *Server) logLimits(l pack.Logs) *wire.LogLimits {
	all := s.config.Logs.For(l)
	keep := pack.KeepHead
	if all.Ends {
		keep = pack.KeepEnds
	}
	return &wire.LogLimits{
		MaxBytes: all.StreamBytes, MaxTotalBytes: all.TotalBytes, SegmentBytes: all.SegmentBytes, Keep: keep,
		TruncateOnExceed: l.TruncateOnExceed == nil || *l.TruncateOnExceed,
	}
}

// durationText is "" for none.
func durationText(d pack.Duration) string {
	if d == 0 {
		return ""
	}
	return time.Duration(d).String()
}

func durationOr(d pack.Duration, otherwise time.Duration) string {
	if d == 0 {
		d = pack.Duration(otherwise)
	}
	if d == 0 {
		return ""
	}
	return time.Duration(d).String()
}

func textOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func triggerOf(ref pack.Ref, d definitions.Trigger) wire.Trigger {
	t := d.Spec
	out := wire.Trigger{Ref: ref.String(), Pack: ref.Pack, Name: ref.Name, Description: t.Description, Payload: t.Payload}
	if w := t.Webhook; w != nil {
		out.Webhook = &wire.Webhook{
			Scheme: w.Scheme, Secret: w.Secret, Secrets: w.Secrets, AllowUnauthenticated: w.AllowUnauthenticated, Path: webhookPath(ref),
		}
	}
	if c := t.Timer; c != nil {
		out.Timer = &wire.Timer{Cron: c.Cron, At: c.At, Timezone: c.Timezone, CatchUp: c.CatchUp, Payload: c.Payload}
		if c.Every != 0 {
			out.Timer.Every = time.Duration(c.Every).String()
		}
	}
	return out
}

func ruleOf(ref pack.Ref, d definitions.Rule) wire.Rule {
	return wire.Rule{
		Ref: ref.String(), Pack: ref.Pack, Name: ref.Name, Description: d.Spec.Description, Trigger: d.Trigger.String(), When: d.Spec.When,
		Action: d.Action.String(), Parameters: d.Spec.Parameters, Enabled: d.Enabled,
		Priority: streams.Priority(textOr(d.Spec.Priority, string(streams.PriorityNormal))), OncePer: d.Spec.OncePer,
	}
}
