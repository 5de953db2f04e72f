package cli

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

func queueCommand(a *app) *cobra.Command {
	return group("queue", "Queues: who runs and who waits, per action", "attune queue show core.sleep",
		queueList(a), queueShow(a), queuePause(a), queueResume(a), queueDrain(a), queueLimit(a))
}

func queueList(a *app) *cobra.Command {
	var l limit
	c := command("list", "List queues that have work or are paused", "attune queue list", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			queues, more, err := s.api.Queues(ctx, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, queues, "queues with work", queueColumns(s.now)))
		}))
	l.flag(c, 0)
	return c
}

func queueColumns(now time.Time) []column[api.QueueStats] {
	return []column[api.QueueStats]{
		{title: "QUEUE", cell: func(q api.QueueStats) string { return q.Action }},
		{title: "KEY", cell: func(q api.QueueStats) string { return q.Key }, flex: true},
		{title: "RUNNING", cell: slots, number: true},
		{title: "WAITING", cell: func(q api.QueueStats) string { return strconv.Itoa(q.Waiting) }, number: true},
		{title: "DELAYED", cell: func(q api.QueueStats) string { return strconv.Itoa(q.Delayed) }, number: true},
		{title: "OLDEST", cell: func(q api.QueueStats) string { return someSeconds(q.OldestWaitSeconds) }, number: true},
		{title: "AVG WAIT", cell: func(q api.QueueStats) string { return someSeconds(q.AvgWaitSeconds) }, number: true},
		{title: "STATE", cell: func(q api.QueueStats) string { return queueState(q, now) }, paint: queuePaint},
	}
}

// slots gives how many run of how many may.
func slots(q api.QueueStats) string {
	if q.Limit == 0 {
		return strconv.Itoa(q.Running)
	}
	return fmt.Sprintf("%d/%d", q.Running, q.Limit)
}

// someSeconds is seconds, and nothing of none.
func someSeconds(s float64) string {
	if s <= 0 {
		return ""
	}
	return seconds(s)
}

// The states of a queue that nothing holds up.
const stateOpen = "open"

// queueState says in a few words what holds a queue up.
func queueState(q api.QueueStats, now time.Time) string {
	var states []string
	if q.Paused {
		states = append(states, pausedText(q.PausedUntil, now))
	}
	if q.Draining {
		states = append(states, "draining")
	}
	if q.BlockedBy != "" && (q.BlockedBy != streams.BlockedByPause || !q.Paused) {
		states = append(states, "blocked by "+blockers[q.BlockedBy].short(q))
	}
	return first(strings.Join(states, ", "), stateOpen)
}

func pausedText(until *time.Time, now time.Time) string {
	if until == nil {
		return "paused"
	}
	return "paused until " + clock(*until, now)
}

// clock gives a time as a person says it: the time of day, and the day when it is another than today.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	switch {
	case t.YearDay() != now.YearDay() || t.Year() != now.Year():
		return t.Format("2006-01-02 15:04")
	case t.Sub(now).Abs() < 10*time.Minute:
		return t.Format(time.TimeOnly)
	}
	return t.Format("15:04")
}

func queuePaint(p paint, text string) string {
	if text == stateOpen || text == "" {
		return text
	}
	return p.warn(text)
}

// blocker says what the first in line waits for, in short and in full.
type blocker struct{ words, full string }

func (b blocker) short(q api.QueueStats) string { return first(b.words, q.BlockedBy) }

var blockers = map[string]blocker{
	streams.BlockedByLimit:     {"limit", "as many run as the limit allows"},
	streams.BlockedByPackLimit: {"pack limit", "as many run as the limit of its pack allows"},
	streams.BlockedByAllLimit:  {"overall limit", "as many run as the limit over all actions allows"},
	streams.BlockedByRate:      {"rate", "as many have started lately as the rate allows"},
	streams.BlockedByRunner:    {"runner", "the one before has its slot and waits for a runner"},
	streams.BlockedByPause:     {"pause", "a pause, of the queue, of its pack or of everything"},
}

// estimateError says how far recent estimates were off.
func estimateError(part *float64) string {
	if part == nil {
		return ""
	}
	return fmt.Sprintf("±%d %%", int(math.Round(*part*100)))
}
