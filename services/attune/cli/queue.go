package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

func queueCommand(a *app) *cobra.Command {
	return group("queue", "Queues: who runs and who waits, per action", "attune queue show core.sleep",
		queueList(a), queueShow(a), queuePause(a, "pause", true), queuePause(a, "resume", false))
}

func queueList(a *app) *cobra.Command {
	var l limit
	c := command("list", "List queues that have work or are paused", "attune queue list", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			queues, more, err := s.api.Queues(ctx, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, queues, "queues with work", queueColumns))
		}))
	l.flag(c, 0)
	return c
}

var queueColumns = []column[api.QueueStats]{
	{title: "QUEUE", cell: func(q api.QueueStats) string { return q.Action }},
	{title: "KEY", cell: func(q api.QueueStats) string { return q.Key }, flex: true},
	{title: "WAITING", cell: func(q api.QueueStats) string { return strconv.Itoa(q.Waiting) }, number: true},
	{title: "RUNNING", cell: func(q api.QueueStats) string { return strconv.Itoa(q.Running) }, number: true},
	{title: "LIMIT", cell: func(q api.QueueStats) string { return queueLimit(q) }, number: true},
	{title: "AVG WAIT", cell: func(q api.QueueStats) string { return seconds(q.AvgWaitSeconds) }, number: true},
	{title: "OLDEST", cell: func(q api.QueueStats) string { return seconds(q.OldestWaitSeconds) }, number: true},
	{title: "STATE", cell: queueState, paint: paint.status},
}

func queueLimit(q api.QueueStats) string {
	if q.Limit == 0 {
		return "none"
	}
	return strconv.Itoa(q.Limit)
}

func queueState(q api.QueueStats) string {
	if q.Paused {
		return "paused"
	}
	return "open"
}

func queueShow(a *app) *cobra.Command {
	var key string
	var l limit
	c := command("show PACK.ACTION [--key K]", "Show how a queue stands, and its line in order",
		"attune queue show core.sleep\nattune queue show deploy.gate --key web", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			q, err := s.api.Queue(ctx, args[0], client.Filter{"key": key}, l.n)
			if err != nil {
				return err
			}
			return showOne(s.view, q, showQueue)
		}))
	c.Flags().StringVar(&key, "key", "", "only the line of this concurrency key")
	must(c.RegisterFlagCompletionFunc("key", cobra.NoFileCompletions))
	l.flag(c, 100)
	return completing(c, a.complete(actionNames))
}

func showQueue(s *sheet, q api.Queue) {
	s.field("queue", q.Action)
	s.field("key", q.Key)
	s.painted("state", queueState(q.QueueStats), paint.status)
	s.field("waiting", strconv.Itoa(q.Waiting))
	s.field("running", strconv.Itoa(q.Running))
	s.field("limit", queueLimit(q.QueueStats))
	s.field("average wait", seconds(q.AvgWaitSeconds))
	s.field("oldest wait", seconds(q.OldestWaitSeconds))
	s.field("estimated drain", seconds(q.EstimatedDrainSeconds))
	items(s, "line", q.Entries, []column[api.QueueEntry]{
		{title: "POSITION", cell: position},
		{title: "EXECUTION", cell: func(e api.QueueEntry) string { return e.ID }},
		{title: "STATUS", cell: func(e api.QueueEntry) string { return string(e.Status) }, paint: paint.status},
		{title: "REQUESTED", cell: func(e api.QueueEntry) string { return ago(s.now, e.RequestedAt) }},
		{title: "KEY", cell: func(e api.QueueEntry) string { return e.Key }, flex: true},
	})
	if q.NextCursor != "" {
		s.text("", "more are waiting: see them with --limit")
	}
}

func position(e api.QueueEntry) string {
	if e.Position == 0 {
		return "running"
	}
	return strconv.Itoa(e.Position)
}

func queuePause(a *app, verb string, paused bool) *cobra.Command {
	short := "Let the executions of an action start again"
	if paused {
		short = "Let no execution of an action start; those that run go on"
	}
	return completing(command(verb+" PACK.ACTION", short, "attune queue "+verb+" core.sleep", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			q, err := s.api.SetQueuePaused(ctx, args[0], paused)
			if err != nil {
				return err
			}
			return s.said(q, "queue %s is %s: %d running, %d waiting", args[0], queueState(q), q.Running, q.Waiting)
		})), a.complete(actionNames))
}

func runnerCommand(a *app) *cobra.Command {
	var l limit
	c := command("list", "List the runners that live, with what they can run", "attune runner list", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			runners, more, err := s.api.Runners(ctx, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, runners, "runners", runnerColumns(s.view)))
		}))
	l.flag(c, 0)
	return group("runner", "Runners: where actions run", "attune runner list", c)
}

func runnerColumns(v *view) []column[api.Runner] {
	return []column[api.Runner]{
		{title: "RUNNER", cell: func(r api.Runner) string { return r.Name }},
		{title: "POOL", cell: func(r api.Runner) string { return r.Pool }},
		{title: "BUSY", cell: func(r api.Runner) string { return fmt.Sprintf("%d of %d", r.Running, r.Slots) }, number: true},
		{title: "STATE", cell: runnerState, paint: paint.status},
		{title: "SEEN", cell: func(r api.Runner) string { return ago(v.now, r.Seen) }},
		{title: "BUILD", cell: func(r api.Runner) string { return r.Build }},
		{title: "RUNTIMES", cell: func(r api.Runner) string { return runtimes(r.Runtimes) }, flex: true},
	}
}

func runnerState(r api.Runner) string {
	if r.Draining {
		return "draining"
	}
	return "ok"
}

func runtimes(found []streams.Runtime) string {
	out := make([]string, len(found))
	for i, r := range found {
		out[i] = strings.TrimSpace(r.Name + " " + r.Version)
	}
	return strings.Join(out, ", ")
}
