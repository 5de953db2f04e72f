package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func ruleCommand(a *app) *cobra.Command {
	return group("rule", "Rules: which events run which actions", "attune rule list --trigger github.issues",
		ruleList(a),
		completing(command("show PACK.RULE", "Show a rule with its criteria and parameters", "attune rule show github.label-issues",
			cobra.ExactArgs(1), one(a, (*client.Client).Rule, showRule)), a.complete(ruleNames)),
		ruleSwitch(a, "enable", "Let a rule act on events from now on", true),
		ruleSwitch(a, "disable", "Let a rule match no event until it is enabled again", false),
		ruleTest(a))
}

func ruleList(a *app) *cobra.Command {
	var l limit
	var pack, trigger string
	c := command("list", "List rules", "attune rule list --trigger github.issues", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			rules, more, err := s.api.Rules(ctx, client.Filter{"pack": pack, "trigger": trigger}, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, rules, "rules", ruleColumns))
		}))
	c.Flags().StringVar(&pack, "pack", "", "only those of this pack")
	c.Flags().StringVar(&trigger, "trigger", "", "only those on this trigger")
	must(c.RegisterFlagCompletionFunc("pack", a.complete(packNames)))
	must(c.RegisterFlagCompletionFunc("trigger", a.complete(triggerNames)))
	l.flag(c, 0)
	return c
}

var ruleColumns = []column[api.Rule]{
	{title: "RULE", cell: func(r api.Rule) string { return r.Ref }},
	{title: "ENABLED", cell: func(r api.Rule) string { return yesNo(r.Enabled) }, paint: paint.status},
	{title: "TRIGGER", cell: func(r api.Rule) string { return r.Trigger }},
	{title: "ACTION", cell: func(r api.Rule) string { return r.Action }},
	{title: "WHEN", cell: func(r api.Rule) string { return first(r.When, "always") }, flex: true},
}

func showRule(s *sheet, r api.Rule) {
	s.field("rule", r.Ref)
	s.field("description", r.Description)
	s.painted("enabled", yesNo(r.Enabled), paint.status)
	s.field("trigger", r.Trigger)
	s.field("action", r.Action)
	s.field("priority", string(r.Priority))
	s.text("when", first(r.When, "always"))
	if r.OncePer != nil {
		s.field("once per", r.OncePer.String())
	}
	if len(r.Parameters) > 0 {
		s.value("parameters", r.Parameters)
	}
}

func ruleSwitch(a *app, verb, short string, enabled bool) *cobra.Command {
	return completing(command(verb+" PACK.RULE", short, "attune rule "+verb+" github.label-issues", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			r, err := s.api.SetRuleEnabled(ctx, args[0], enabled)
			if err != nil {
				return err
			}
			return s.said(r, "rule %s is %sd", r.Ref, verb)
		})), a.complete(ruleNames))
}
