package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func triggerCommand(a *app) *cobra.Command {
	return group("trigger", "Triggers: the kinds of events", "attune trigger list",
		inPack(a, "list", "List triggers", "attune trigger list --pack github", "triggers", (*client.Client).Triggers, triggerColumns),
		completing(command("show PACK.TRIGGER", "Show a trigger with its webhook, timer and payload schema", "attune trigger show core.webhook",
			cobra.ExactArgs(1), one(a, (*client.Client).Trigger, showTrigger)), a.complete(triggerNames)))
}

var triggerColumns = []column[api.Trigger]{
	{title: "TRIGGER", cell: func(t api.Trigger) string { return t.Ref }},
	{title: "WEBHOOK", cell: func(t api.Trigger) string { return webhookScheme(t.Webhook) }},
	{title: "TIMER", cell: func(t api.Trigger) string { return timerText(t.Timer) }, flex: true},
	{title: "DESCRIPTION", cell: func(t api.Trigger) string { return t.Description }, flex: true},
}

func webhookScheme(w *api.Webhook) string {
	if w == nil {
		return ""
	}
	return w.Scheme
}

// timerText says when a timer fires.
func timerText(t *api.Timer) string {
	if t == nil {
		return ""
	}
	var when string
	switch {
	case t.Cron != "":
		when = "cron " + t.Cron
	case t.Every != "":
		when = "every " + t.Every
	case t.At != nil:
		when = "at " + t.At.Format(time.RFC3339)
	}
	return strings.TrimSpace(when + " " + t.Timezone)
}

// webhookProof says how deliveries are verified.
func webhookProof(w *api.Webhook) string {
	if w.AllowUnauthenticated {
		return "nothing: ANYBODY may deliver"
	}
	return w.Scheme
}

func webhookSecrets(w *api.Webhook) string {
	if w.Secret != "" {
		return w.Secret
	}
	return strings.Join(w.Secrets, ", ")
}

func showTrigger(s *sheet, t api.Trigger) {
	s.field("trigger", t.Ref)
	s.field("description", t.Description)
	if w := t.Webhook; w != nil {
		s.field("webhook", "POST "+w.Path)
		s.field("verified by", webhookProof(w))
		s.field("secret", webhookSecrets(w))
	}
	if t.Timer != nil {
		s.field("timer", timerText(t.Timer))
		s.field("catch up", string(t.Timer.CatchUp))
		s.json("timer payload", t.Timer.Payload)
	}
	s.json("payload schema", t.Payload)
}
