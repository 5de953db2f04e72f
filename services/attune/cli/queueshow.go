package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

// queueQuestion is which line to show, and how much of it.
type queueQuestion struct {
	scope    scope
	ref, key string
	limit    limit
}

// ask gives the line of an action. Many queues together have no line, only sums.
func (q queueQuestion) ask(ctx context.Context, c *client.Client) (api.Queue, error) {
	if strings.Contains(q.ref, ".") {
		return c.Queue(ctx, q.ref, client.Filter{"key": q.key}, q.limit.n)
	}
	stats, err := c.QueueStats(ctx, q.ref)
	return api.Queue{QueueStats: stats, Entries: []api.QueueEntry{}}, err
}

func queueShow(a *app) *cobra.Command {
	var q queueQuestion
	var watch bool
	c := command("show PACK.ACTION|PACK|--all [--key K] [--watch]", "Show how a queue stands, and its line in order",
		"attune queue show core.sleep\nattune queue show deploy.gate --key web --watch\nattune queue show --all", q.scope.args(0),
		a.do(func(ctx context.Context, s *session, args []string) error {
			q.ref, _ = q.scope.split(args)
			if watch {
				return watchQueue(ctx, s, q)
			}
			found, err := q.ask(ctx, s.api)
			if err != nil {
				return err
			}
			return showOne(s.view, found, showQueue)
		}))
	c.Long = `Show how the queue of an action stands, and its line in the order in which it will start; or how all queues of a
pack, or of everything, stand together.

With --watch the view is drawn again each second, until Ctrl-C. Without a terminal there is nothing to draw on:
--output jsonl then gives one document each second.`
	c.Flags().StringVar(&q.key, "key", "", "only the line of this concurrency key")
	c.Flags().BoolVar(&watch, "watch", false, "go on showing it, each second, until Ctrl-C")
	must(c.RegisterFlagCompletionFunc("key", cobra.NoFileCompletions))
	q.limit.flag(c, 100)
	return q.scope.flags(a, c)
}

func showQueue(s *sheet, q api.Queue) {
	s.field("queue", q.Action)
	s.field("key", q.Key)
	showStats(s, q.QueueStats)
	items(s, "line", q.Entries, entryColumns(s.now))
	if q.NextCursor != "" {
		s.text("", "more are waiting: see them with --limit")
	}
}

func showStats(s *sheet, q api.QueueStats) {
	s.painted("state", queueState(q, s.now), queuePaint)
	s.field("waiting", strconv.Itoa(q.Waiting))
	s.field("running", ofLimit(q))
	if q.Delayed > 0 {
		s.field("delayed", fmt.Sprintf("%d between two attempts", q.Delayed))
	}
	s.field("rate", q.Rate)
	if q.PausedUntil != nil {
		s.field("paused until", whenText(s, *q.PausedUntil))
	}
	if q.Draining {
		s.field("draining", "takes nothing new; what waits is still started")
	}
	if q.BlockedBy != "" {
		s.field("blocked by", first(blockers[q.BlockedBy].full, q.BlockedBy))
	}
	s.field("average wait", seconds(q.AvgWaitSeconds))
	s.field("oldest wait", someSeconds(q.OldestWaitSeconds))
	showDrain(s, q)
}

func ofLimit(q api.QueueStats) string {
	if q.Limit == 0 {
		return strconv.Itoa(q.Running) + ", without a limit"
	}
	return fmt.Sprintf("%d of %d", q.Running, q.Limit)
}

// showDrain adds until when all that wait have started, and how far to trust that.
func showDrain(s *sheet, q api.QueueStats) {
	if q.Waiting == 0 {
		return
	}
	s.field("estimated drain", first(someSeconds(q.EstimatedDrainSeconds), "not known"))
	s.field("estimates", first(estimateError(q.EstimateError), "not known yet how good"))
}

func entryColumns(now time.Time) []column[api.QueueEntry] {
	return []column[api.QueueEntry]{
		{title: "POSITION", cell: func(e api.QueueEntry) string { return position(e, now) }},
		{title: "EXECUTION", cell: func(e api.QueueEntry) string { return e.ID }},
		{title: "KEY", cell: func(e api.QueueEntry) string { return e.Key }, flex: true},
		{title: "STATUS", cell: func(e api.QueueEntry) string { return string(e.Status) }, paint: paint.status},
		{title: "ATTEMPT", cell: func(e api.QueueEntry) string { return someNumber(e.Attempt) }, number: true},
		{title: "PRIORITY", cell: func(e api.QueueEntry) string { return string(e.Priority) }, paint: priorityPaint},
		{title: "WAITED", cell: func(e api.QueueEntry) string { return waited(e, now) }, number: true},
		{title: "STARTS", cell: func(e api.QueueEntry) string { return starts(e, now) }},
	}
}

// position is an execution's place in line, or why it has none.
func position(e api.QueueEntry, now time.Time) string {
	switch {
	case e.Position > 0:
		return strconv.Itoa(e.Position)
	case e.Status != streams.Requested:
		return "running"
	case e.NotBefore != nil && e.NotBefore.After(now):
		return "delayed"
	}
	return "starting"
}

// someNumber is a number, and nothing of none.
func someNumber(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func priorityPaint(p paint, text string) string {
	switch streams.Priority(text) {
	case streams.PriorityHigh:
		return p.busy(text)
	case streams.PriorityLow:
		return p.dim(text)
	case streams.PriorityNormal:
	}
	return text
}

// waited gives how long one that waits has done so.
func waited(e api.QueueEntry, now time.Time) string {
	if e.Position == 0 {
		return ""
	}
	return age(max(now.Sub(e.RequestedAt), 0))
}

// starts says when one that waits is expected to start.
func starts(e api.QueueEntry, now time.Time) string {
	switch {
	case e.EstimatedStartAt != nil:
		return until(now, *e.EstimatedStartAt)
	case e.NotBefore != nil && e.Status == streams.Requested:
		return "not before " + clock(*e.NotBefore, now)
	}
	return ""
}

// until says how long after now a time is.
func until(now, t time.Time) string {
	d := t.Sub(now)
	if d < time.Second {
		return "now"
	}
	return "in " + age(d)
}
