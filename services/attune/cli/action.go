package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/pack"
)

func actionCommand(a *app) *cobra.Command {
	return group("action", "Actions: the programs that executions run", "attune action show core.echo",
		inPack(a, "list", "List actions", "attune action list --pack core", "actions", (*client.Client).Actions, actionColumns),
		completing(command("show PACK.ACTION", "Show an action with its parameters", "attune action show core.echo",
			cobra.ExactArgs(1), one(a, (*client.Client).Action, showAction)), a.complete(actionNames)))
}

// lister gets the things of a pack, or of all packs.
type lister[T any] func(c *client.Client, ctx context.Context, pack string, limit int) ([]T, bool, error)

// inPack makes the command that lists what packs define.
func inPack[T any](a *app, use, short, example, what string, get lister[T], columns []column[T]) *cobra.Command {
	var pack string
	var l limit
	c := command(use, short, example, cobra.NoArgs, a.do(func(ctx context.Context, s *session, _ []string) error {
		things, more, err := get(s.api, ctx, pack, l.n)
		if err != nil {
			return err
		}
		return l.list(s.view, more, list(s.view, things, what, columns))
	}))
	c.Flags().StringVar(&pack, "pack", "", "only those of this pack")
	must(c.RegisterFlagCompletionFunc("pack", a.complete(packNames)))
	l.flag(c, 0)
	return c
}

// limit is how many things a list shows.
type limit struct{ n int }

func (l *limit) flag(c *cobra.Command, standard int) {
	c.Flags().IntVarP(&l.n, "limit", "n", standard, "how many to show at most; 0: all")
	must(c.RegisterFlagCompletionFunc("limit", cobra.NoFileCompletions))
}

// list tells the person who reads a list that there is more than it shows.
func (l *limit) list(v *view, more bool, err error) error {
	if err == nil && more {
		v.note("there are more; see them with --limit N, or --limit 0 for all")
	}
	return err
}

var actionColumns = []column[api.Action]{
	{title: "ACTION", cell: func(x api.Action) string { return x.Ref }},
	{title: "RUNTIME", cell: func(x api.Action) string { return x.Runtime }},
	{title: "AT ONCE", cell: func(x api.Action) string { return atOnce(x.Concurrency) }, flex: true},
	{title: "DESCRIPTION", cell: func(x api.Action) string { return x.Description }, flex: true},
}

// atOnce says how many executions may run at once.
func atOnce(c pack.Concurrency) string {
	if c.Limit == 0 {
		return "any"
	}
	if c.Key == "" {
		return strconv.Itoa(c.Limit)
	}
	return fmt.Sprintf("%d per %s", c.Limit, c.Key)
}

// logLimit says how much output is kept, and what becomes of more.
func logLimit(l *api.LogLimits) string {
	if l == nil {
		return ""
	}
	text := fmt.Sprintf("%d bytes of each stream, %d of both", l.MaxBytes, l.MaxTotalBytes)
	switch {
	case !l.TruncateOnExceed:
		return text + "; more fails the execution"
	case l.Keep == pack.KeepEnds:
		return text + "; of more the first and the last half"
	}
	return text
}

func showAction(s *sheet, x api.Action) {
	s.field("action", x.Ref)
	s.field("description", x.Description)
	s.field("runtime", strings.TrimSpace(x.Runtime+" "+x.Needs))
	s.field("entry point", x.EntryPoint)
	s.field("timeout", x.Timeout)
	s.field("at once", atOnce(x.Concurrency))
	s.field("when full", string(x.Concurrency.OnFull))
	s.field("rate", x.Rate)
	s.field("queue timeout", x.QueueTimeout)
	s.field("output", string(x.Output))
	s.field("log limit", logLimit(x.Logs))
	s.field("secrets", strings.Join(x.Secrets, ", "))
	s.field("pool", x.Pool)
	s.field("labels", labels(x.RunsOn.Labels))
	s.field("if no runner", string(x.RunsOn.IfNone))
	if x.Warm != nil {
		s.field("warm", strconv.Itoa(*x.Warm))
	}
	s.field("memory", string(x.Resources.Memory))
	if x.Resources.Processes > 0 {
		s.field("processes", strconv.FormatInt(x.Resources.Processes, 10))
	}
	if x.Resources.CPU > 0 {
		s.field("processors", strconv.FormatFloat(x.Resources.CPU, 'f', -1, 64))
	}
	if x.Container != nil {
		s.value("container", x.Container)
	}
	s.field("pack digest", x.PackDigest)
	if x.Retry != nil {
		s.value("retry", x.Retry)
	}
	s.json("parameters", x.Parameters)
	s.field("logs kept", keptOf(x))
	s.json("output schema", x.OutputSchema)
}
