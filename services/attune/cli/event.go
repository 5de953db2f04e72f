package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

// maxPayload bounds a payload that is read; the API bounds what it takes.
const maxPayload = 16 << 20

func eventCommand(a *app) *cobra.Command {
	return group("event", "Events: what happened, and what the rules decided", "attune event list --since 1h",
		eventPublish(a), eventList(a), eventShow(a), eventTail(a))
}

func eventPublish(a *app) *cobra.Command {
	var source, id string
	c := command("publish PACK.TRIGGER [JSON|-]", "Publish an event, with {} or this JSON as its payload",
		"attune event publish core.webhook '{\"host\":\"web1\"}'\nattune event publish core.webhook - < payload.json",
		cobra.RangeArgs(1, 2), a.do(func(ctx context.Context, s *session, args []string) error {
			payload, err := s.payload(args[1:])
			if err != nil {
				return err
			}
			// An id of our own makes it safe to repeat the request when the connection breaks.
			e := api.EventRequest{Trigger: args[0], Payload: payload, Source: source, ID: first(id, uuid.NewString())}
			accepted, err := s.api.Publish(ctx, e)
			if err != nil {
				return err
			}
			defer s.note("see what the rules decided: attune event show %s", accepted.ID)
			return showOne(s.view, accepted, func(sh *sheet, x api.EventAccepted) { sh.field("event", x.ID) })
		}))
	c.Flags().StringVar(&source, "source", "attune event publish", "who or what publishes it")
	c.Flags().StringVar(&id, "id", "", "give the event this UUID: publishing it again is publishing the same event")
	must(c.RegisterFlagCompletionFunc("source", cobra.NoFileCompletions))
	must(c.RegisterFlagCompletionFunc("id", cobra.NoFileCompletions))
	return completing(c, a.complete(triggerNames))
}

// payload takes the JSON of an argument, or of stdin for "-".
func (s *session) payload(args []string) (json.RawMessage, error) {
	if len(args) == 0 {
		return json.RawMessage("{}"), nil
	}
	data := []byte(args[0])
	if args[0] == "-" {
		var err error
		if data, err = readInput("-", s.in, maxPayload); err != nil {
			return nil, fmt.Errorf("payload: %w", err)
		}
	}
	if _, err := strictjson.Parse(data); err != nil {
		return nil, WithExit(hinted(fmt.Errorf("payload: %w", err), `quote JSON for the shell: '{"host":"web1"}'`), ExitUsage)
	}
	return data, nil
}

func eventList(a *app) *cobra.Command {
	var l limit
	var sp span
	var trigger, status string
	c := command("list", "List events, newest first", "attune event list --trigger github.issues --status rejected --since 1d", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			since, until, err := sp.times(s.now)
			if err != nil {
				return err
			}
			f := client.Filter{"trigger": trigger, "status": status, "since": since, "until": until}
			events, more, err := s.api.Events(ctx, f, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, events, "events", eventColumns(s.view)))
		}))
	statuses := []string{string(streams.EventReceived), string(streams.EventDecided), string(streams.EventRejected)}
	c.Flags().StringVar(&trigger, "trigger", "", "only of this trigger")
	c.Flags().StringVar(&status, "status", "", "only with this status: "+strings.Join(statuses, ", "))
	must(c.RegisterFlagCompletionFunc("trigger", a.complete(triggerNames)))
	must(c.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(statuses, cobra.ShellCompDirectiveNoFileComp)))
	sp.flags(c)
	l.flag(c, 50)
	return c
}

func eventColumns(v *view) []column[api.Event] {
	return []column[api.Event]{
		{title: "EVENT", cell: func(e api.Event) string { return e.ID }},
		{title: "TRIGGER", cell: func(e api.Event) string { return e.Trigger }},
		{title: "STATUS", cell: func(e api.Event) string { return string(e.Status) }, paint: paint.status},
		{title: "RECEIVED", cell: func(e api.Event) string { return ago(v.now, e.ReceivedAt) }},
		{title: "SOURCE", cell: func(e api.Event) string { return e.Source }, flex: true},
		{title: "REASON", cell: func(e api.Event) string { return e.Reason }, flex: true},
	}
}

func eventShow(a *app) *cobra.Command {
	return completing(command("show ID", "Show an event with what every rule decided about it, and why",
		"attune event show 0199f3a0-7d1c-7000-8000-000000000001",
		cobra.ExactArgs(1), one(a, (*client.Client).Event, showEvent)), a.complete(eventIDs))
}

func showEvent(s *sheet, e api.Event) {
	s.field("event", e.ID)
	s.field("trigger", e.Trigger)
	s.painted("status", string(e.Status), paint.status)
	s.painted("reason", e.Reason, paint.bad)
	s.field("source", e.Source)
	s.time("time", &e.Time)
	s.time("received", &e.ReceivedAt)
	s.time("decided", e.DecidedAt)
	s.field("sequence", strconv.FormatUint(e.Sequence, 10))
	s.json("payload", e.Payload)
	switch {
	case len(e.Decisions) > 0:
		items(s, "decisions", e.Decisions, decisionColumns)
	case e.Status == streams.EventDecided:
		s.text("decisions", "none: no enabled rule is on this trigger")
	case e.Status == streams.EventReceived:
		s.text("decisions", "none yet: no rule has looked at it")
	}
}

// decisionColumns are never cut: they answer why nothing happened.
var decisionColumns = []column[api.Decision]{
	{title: "RULE", cell: func(d api.Decision) string { return d.Rule }},
	{title: "OUTCOME", cell: func(d api.Decision) string { return string(d.Outcome) }, paint: paint.status},
	{title: "WHY, OR WHAT RUNS", cell: why},
}

// why says which execution a rule requested, or why it requested none.
func why(d api.Decision) string {
	if d.Execution == "" {
		return d.Reason
	}
	return strings.TrimSpace(fmt.Sprintf("execution %s of %s  %s", d.Execution, d.Action, d.Reason))
}

func eventTail(a *app) *cobra.Command {
	var trigger string
	c := command("tail", "Print events as they happen", "attune event tail --trigger github.issues", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			return s.api.Tail(ctx, client.Filter{"trigger": trigger}, func(e api.Event) error {
				return stream(s.view, e, s.happened)
			})
		}))
	c.Flags().StringVar(&trigger, "trigger", "", "only of this trigger")
	must(c.RegisterFlagCompletionFunc("trigger", a.complete(triggerNames)))
	return c
}

// happened is a line about an event.
func (s *session) happened(e api.Event) string {
	at := s.paint.dim(e.ReceivedAt.Local().Format("15:04:05.000"))
	return fmt.Sprintf("%s  %s  %s  %s", at, e.ID, oneLine(e.Trigger), oneLine(string(e.Payload)))
}
