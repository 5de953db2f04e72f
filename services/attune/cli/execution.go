package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

func executionCommand(a *app) *cobra.Command {
	return group("execution", "Executions: requests to run an action, and what became of them", "attune execution list --status failed",
		executionList(a), executionShow(a), logsCommand(a, "attune execution logs"), executionCancel(a), executionRetry(a), executionWatch(a),
		executionExport(a))
}

func executionList(a *app) *cobra.Command {
	var l limit
	var f executionFilter
	c := command("list", "List executions, newest first", "attune execution list --action core.echo --status failed --since 1h",
		cobra.NoArgs, a.do(func(ctx context.Context, s *session, _ []string) error {
			filter, err := f.filter(s.now)
			if err != nil {
				return err
			}
			found, more, err := s.api.Executions(ctx, filter, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, found, "executions", executionColumns(s.view)))
		}))
	f.flags(a, c)
	f.span.flags(c)
	l.flag(c, 50)
	return c
}

// executionFilter is what lists and streams of executions are narrowed by.
type executionFilter struct {
	action, status, rule, event string
	span                        span
}

func (f *executionFilter) flags(a *app, c *cobra.Command) {
	c.Flags().StringVar(&f.action, "action", "", "only of this action")
	c.Flags().StringVar(&f.status, "status", "", "only with this status: "+strings.Join(statuses(), ", "))
	c.Flags().StringVar(&f.rule, "rule", "", "only requested by this rule")
	must(c.RegisterFlagCompletionFunc("action", a.complete(actionNames)))
	must(c.RegisterFlagCompletionFunc("rule", a.complete(ruleNames)))
	must(c.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(statuses(), cobra.ShellCompDirectiveNoFileComp)))
}

func statuses() []string {
	var out []string
	for _, s := range execution.Statuses() {
		out = append(out, string(s))
	}
	return out
}

func (f *executionFilter) filter(now time.Time) (client.Filter, error) {
	since, until, err := f.span.times(now)
	return client.Filter{
		"action": f.action, "status": f.status, "rule": f.rule, "event": f.event, "since": since, "until": until,
	}, err
}

// span is a span of time, each end given as a time or as how long ago.
type span struct{ since, until string }

func (s *span) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.since, "since", "", "only from then on: a time (2026-01-31T12:00:00Z) or how long ago (90s, 1h, 7d)")
	c.Flags().StringVar(&s.until, "until", "", "only until then, given like --since")
	must(c.RegisterFlagCompletionFunc("since", cobra.NoFileCompletions))
	must(c.RegisterFlagCompletionFunc("until", cobra.NoFileCompletions))
}

func (s *span) times(now time.Time) (since, until string, err error) {
	if since, err = moment("since", s.since, now); err != nil {
		return "", "", err
	}
	until, err = moment("until", s.until, now)
	return since, until, err
}

// moment reads a time, or how long before now it was.
func moment(flag, text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UTC().Format(time.RFC3339Nano), nil
	}
	d, err := duration(text)
	if err != nil || d < 0 {
		return "", WithExit(fmt.Errorf("--%s %q: want a time, such as 2026-01-31T12:00:00Z, or how long ago, such as 90s, 1h or 7d", flag, text), ExitUsage)
	}
	return now.Add(-d).UTC().Format(time.RFC3339Nano), nil
}

// duration reads a duration, which may also be in days.
func duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		return 24 * d, err
	}
	return time.ParseDuration(text)
}

func executionColumns(v *view) []column[api.Execution] {
	return []column[api.Execution]{
		{title: "EXECUTION", cell: func(x api.Execution) string { return x.ID }},
		{title: "ACTION", cell: func(x api.Execution) string { return x.Action }},
		{title: "STATUS", cell: func(x api.Execution) string { return string(x.Status) }, paint: paint.status},
		{title: "REQUESTED", cell: func(x api.Execution) string { return ago(v.now, x.RequestedAt) }},
		{title: "TOOK", cell: func(x api.Execution) string { return tookOf(x) }, number: true},
		{title: "RULE", cell: func(x api.Execution) string { return x.Rule }, flex: true},
		{title: "ERROR", cell: func(x api.Execution) string { return errorText(x) }, flex: true},
	}
}

// tookOf says how long an execution ran.
func tookOf(x api.Execution) string { return tookBetween(x.StartedAt, x.EndedAt) }

func tookBetween(started, ended *time.Time) string {
	if started == nil || ended == nil {
		return ""
	}
	return took(ended.Sub(*started))
}

func errorText(x api.Execution) string { return messageOf(x.Error) }

func messageOf(e *streams.Error) string {
	if e == nil {
		return ""
	}
	return e.Message
}

func executionShow(a *app) *cobra.Command {
	return completing(command("show ID", "Show an execution", "attune execution show 0199f3a0-7d1c-7000-8000-000000000001",
		cobra.ExactArgs(1), one(a, (*client.Client).Execution, showExecution)), a.complete(executionIDs))
}

func showExecution(s *sheet, x api.Execution) {
	s.field("execution", x.ID)
	s.field("action", x.Action)
	s.painted("status", string(x.Status), paint.status)
	showWaiting(s, x)
	s.painted("priority", string(x.Priority), priorityPaint)
	if x.Attempt > 1 {
		s.field("attempt", strconv.Itoa(x.Attempt))
	}
	s.time("requested", &x.RequestedAt)
	s.time("started", x.StartedAt)
	s.time("ended", x.EndedAt)
	s.field("took", tookOf(x))
	showEnd(s, x)
	s.field("requested by", x.RequestedBy)
	s.field("rule", x.Rule)
	s.field("event", x.Event)
	s.field("retry of", x.RetryOf)
	s.field("canceled by", x.CanceledBy)
	s.field("key", x.Key)
	s.field("runner", x.Runner)
	s.field("pool", x.Pool)
	s.field("pack digest", x.PackDigest)
	s.json("parameters", x.Parameters)
	s.json("result", x.Result)
	items(s, "attempts before", x.Previous, attemptColumns)
}

// showWaiting adds where an execution that waits stands, and when it is expected to start.
func showWaiting(s *sheet, x api.Execution) {
	if x.Status != streams.Requested {
		return
	}
	if waiting(x.Status, x.Position) {
		s.field("position", strconv.Itoa(*x.Position))
	}
	switch {
	case x.NotBefore != nil && x.Attempt > 1:
		s.field("next attempt", whenText(s, *x.NotBefore))
	case x.NotBefore != nil:
		s.field("not before", whenText(s, *x.NotBefore))
	}
	if q := x.Queue; q != nil && q.EstimatedStartAt != nil {
		s.field("estimated start", estimateText(s, *q.EstimatedStartAt, q.EstimateError))
	}
}

// whenText gives a time that is to come, and how long that is.
func whenText(s *sheet, t time.Time) string {
	return t.Format(time.RFC3339) + "  (" + until(s.now, t) + ")"
}

// estimateText is whenText, and how far to trust it.
func estimateText(s *sheet, t time.Time, part *float64) string {
	text := whenText(s, t)
	if part != nil {
		text += "  " + estimateError(part)
	}
	return text
}

var attemptColumns = []column[streams.Attempt]{
	{title: "ATTEMPT", cell: func(x streams.Attempt) string { return strconv.Itoa(x.Attempt) }, number: true},
	{title: "STATUS", cell: func(x streams.Attempt) string { return string(x.Status) }, paint: paint.status},
	{title: "STARTED", cell: func(x streams.Attempt) string { return someTime(x.StartedAt) }},
	{title: "TOOK", cell: func(x streams.Attempt) string { return tookBetween(x.StartedAt, x.EndedAt) }, number: true},
	{title: "RUNNER", cell: func(x streams.Attempt) string { return x.Runner }},
	{title: "ERROR", cell: func(x streams.Attempt) string { return messageOf(x.Error) }, flex: true},
}

// someTime is a time, and nothing of none.
func someTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}

// showEnd adds how an execution ended.
func showEnd(s *sheet, x api.Execution) {
	if x.ExitCode != nil {
		s.field("exit code", strconv.Itoa(*x.ExitCode))
	}
	s.field("signal", x.Signal)
	if x.Error != nil {
		s.painted("error", x.Error.Message+" ("+x.Error.Class+")", paint.bad)
	}
	if o := x.Output; o != nil {
		s.field("output", fmt.Sprintf("%d bytes stdout, %d bytes stderr", o.StdoutBytes, o.StderrBytes))
		if o.Truncated {
			s.field("truncated", truncated(o))
		}
		if o.Held {
			s.field("left behind", "a process kept the output open after the end and was killed")
		}
	}
	showLog(s, x)
}

// showLog adds what is kept of an execution's output.
func showLog(s *sheet, x api.Execution) {
	if x.LogBytes > 0 && x.Output != nil {
		s.field("log", fmt.Sprintf("%d bytes, %d stored", x.LogBytes, x.Output.StoredBytes))
	}
	if x.Incomplete {
		s.field("incomplete", "the log store did not answer; what is kept says where")
	}
	s.time("log removed", x.RemovedAt)
	s.field("removed by", x.RemovedBy)
}

// truncated says what is missing of an execution's output.
func truncated(o *streams.Output) string {
	switch {
	case o.Dropped > 0:
		return fmt.Sprintf("%d bytes were not kept; the log says where", o.Dropped)
	case o.Incomplete:
		return "not all of the log was stored"
	}
	return "the output was over its limit; what is kept says where"
}

func executionRetry(a *app) *cobra.Command {
	var f following
	c := command("retry ID [--follow|--wait]", "Run an execution's action again with the same parameters, as a new execution",
		"attune execution retry 0199f3a0-7d1c-7000-8000-000000000001 --follow", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			accepted, err := s.api.Retry(ctx, args[0], uuid.NewString())
			if err != nil {
				return err
			}
			return f.after(ctx, s, accepted)
		}))
	f.flags(c)
	return completing(c, a.complete(executionIDs))
}

func executionWatch(a *app) *cobra.Command {
	var f executionFilter
	c := command("watch [ID]", "Print every change of executions as it happens, or those of one until it ends",
		"attune execution watch --action core.echo\nattune execution watch 0199f3a0-7d1c-7000-8000-000000000001",
		cobra.MaximumNArgs(1), a.do(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				return watchOne(ctx, s, args[0])
			}
			filter, err := f.filter(s.now)
			if err != nil {
				return err
			}
			return s.api.Watch(ctx, filter, func(x api.Execution) error { return stream(s.view, x, s.change) })
		}))
	f.flags(a, c)
	return completing(c, a.complete(executionIDs))
}

func watchOne(ctx context.Context, s *session, id string) error {
	x, err := s.api.Wait(ctx, id, func(x api.Execution) error { return stream(s.view, x, s.change) })
	if err != nil {
		return err
	}
	return endOf(x)
}

// change is a line about a change of an execution.
func (s *session) change(x api.Execution) string {
	at := changedAt(x).Local().Format("15:04:05.000")
	status := s.paint.status(fmt.Sprintf("%-9s", x.Status))
	line := fmt.Sprintf("%s  %s  %s  %s", s.paint.dim(at), status, x.ID, oneLine(x.Action))
	if text := errorText(x); text != "" {
		line += "  " + oneLine(text)
	}
	return line
}

func changedAt(x api.Execution) time.Time {
	switch {
	case x.EndedAt != nil:
		return *x.EndedAt
	case x.StartedAt != nil:
		return *x.StartedAt
	}
	return x.RequestedAt
}
