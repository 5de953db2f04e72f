package historybench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/streams"
)

// asked is something that is asked of history, and how long that takes.
type asked struct {
	name string
	do   func(ctx context.Context, n int) (rows int, err error)
}

// answered is how an asked thing went.
type answered struct {
	asked
	took []time.Duration
	used time.Duration // of PostgreSQL's processor time
	rows int
}

// askAll asks everything so many times, in turn. Backend is the process that answers.
func askAll(ctx context.Context, samples, backend int, all []asked) ([]answered, error) {
	answers := make([]answered, len(all))
	for n := range samples {
		for i, a := range all {
			if err := answers[i].ask(ctx, a, n, backend); err != nil {
				return nil, fmt.Errorf("%s: %w", a.name, err)
			}
		}
	}
	return answers, nil
}

// table gives answers as a table for a document.
func table(answers []answered) string {
	var b strings.Builder
	b.WriteString("\n| asked | rows | p50 | p95 | p99 | PostgreSQL's processor |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, a := range answers {
		fmt.Fprintf(&b, "| %s | %d | %.1f ms | %.1f ms | %.1f ms | %.1f ms |\n", a.name, a.rows, figure.Quantile(a.took, 0.5), figure.Quantile(a.took, 0.95),
			figure.Quantile(a.took, 0.99), figure.Milliseconds(a.used)/float64(len(a.took)))
	}
	return b.String()
}

func (r *answered) ask(ctx context.Context, a asked, n, backend int) error {
	r.asked = a
	before, err := onProcessor(backend)
	if err != nil {
		return err
	}
	began := time.Now()
	found, err := a.do(ctx, n)
	r.took, r.rows = append(r.took, time.Since(began)), max(r.rows, found)
	if err != nil {
		return err
	}
	after, err := onProcessor(backend)
	r.used += after - before
	return err
}

// onProcessor is the processor time of a process's first thread.
func onProcessor(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0, err
	}
	ns, _, _ := strings.Cut(string(b), " ")
	n, err := strconv.ParseInt(ns, 10, 64)
	return time.Duration(n), err
}

// sampled is about how many rows are looked at for ids to ask for.
const sampled = 5_000

// site is what the questions are about.
type site struct {
	s      *history.Store
	now    time.Time
	events []string // some ids of each
	v5, v7 []string
}

func newSite(ctx context.Context, db *pgxpool.Pool, executions int) (*site, error) {
	st := &site{s: history.New(db)}
	err := db.QueryRow(ctx, `SELECT max(requested_at),
		(SELECT array_agg(id::text) FROM (SELECT id FROM events TABLESAMPLE SYSTEM ($1::float8) LIMIT 2000) AS sampled),
		(SELECT array_agg(id::text) FROM (SELECT id FROM executions TABLESAMPLE SYSTEM ($1::float8) WHERE event_id IS NOT NULL LIMIT 2000) AS sampled),
		(SELECT array_agg(id::text) FROM (SELECT id FROM executions TABLESAMPLE SYSTEM ($1::float8) WHERE event_id IS NULL LIMIT 2000) AS sampled)
		FROM executions`, min(100, 100*sampled/float64(executions))).Scan(&st.now, &st.events, &st.v5, &st.v7)
	return st, err
}

func one(of []string, n int) string { return of[n*7919%len(of)] }

// executions asks for a page that a filter, which may vary, chooses.
func (s *site) executions(name string, f func(n int) history.ExecutionFilter) asked {
	return asked{name, func(ctx context.Context, n int) (int, error) {
		found, err := s.s.ListExecutions(ctx, f(n), history.Page{})
		return len(found.Items), err
	}}
}

// deep asks for a page that begins somewhere in the middle.
func (s *site) deep(ctx context.Context, name string, f history.ExecutionFilter) (asked, error) {
	var cursors []string
	for day := range 29 {
		jump := f
		jump.Until = s.now.Add(-time.Duration(day) * 24 * time.Hour)
		found, err := s.s.ListExecutions(ctx, jump, history.Page{})
		if err != nil {
			return asked{}, err
		}
		cursors = append(cursors, found.Next)
	}
	return asked{name, func(ctx context.Context, n int) (int, error) {
		found, err := s.s.ListExecutions(ctx, f, history.Page{Cursor: one(cursors, n)})
		return len(found.Items), err
	}}, nil
}

func (s *site) eventPage(name string, f func(n int) history.EventFilter) asked {
	return asked{name, func(ctx context.Context, n int) (int, error) {
		found, err := s.s.ListEvents(ctx, f(n), history.Page{})
		return len(found.Items), err
	}}
}

func (s *site) show(name string, ids []string) asked {
	return asked{name, func(ctx context.Context, n int) (int, error) {
		_, err := s.s.Execution(ctx, one(ids, n))
		return 1, err
	}}
}

func (s *site) ago(days int) time.Time { return s.now.Add(-time.Duration(days) * 24 * time.Hour) }

var bad = []streams.Status{streams.Failed, streams.TimedOut, streams.Canceled, streams.Lost}

// lists are the pages of executions that people and programs ask for.
func (s *site) lists(ctx context.Context) ([]asked, error) {
	same := func(f history.ExecutionFilter) func(int) history.ExecutionFilter {
		return func(int) history.ExecutionFilter { return f }
	}
	status := func(some ...streams.Status) history.ExecutionFilter { return history.ExecutionFilter{Statuses: some} }
	all := []asked{
		s.executions("newest executions", same(history.ExecutionFilter{})),
		s.executions("of an action", func(n int) history.ExecutionFilter {
			return history.ExecutionFilter{Action: fmt.Sprintf("pack%d.action%d", n%200/10, n%200)}
		}),
		s.executions("of an action that ran ten times", same(history.ExecutionFilter{Action: "rare.action"})),
		s.executions("of an action that never ran", same(history.ExecutionFilter{Action: "pack0.never"})),
		s.executions("running", same(status(streams.Running))),
		s.executions("failed", same(status(streams.Failed))),
		s.executions("lost", same(status(streams.Lost))),
		s.executions("canceling: none", same(status(streams.Canceling))),
		s.executions("succeeded", same(status(streams.Succeeded))),
		s.executions("failed, timed out, canceled or lost", same(status(bad...))),
		s.executions("running or succeeded", same(status(streams.Running, streams.Succeeded))),
		s.executions("failed, of an action", func(n int) history.ExecutionFilter {
			return history.ExecutionFilter{Action: fmt.Sprintf("pack%d.action%d", n%200/10, n%200), Statuses: bad}
		}),
		s.executions("failed, of the action that runs most and never fails", same(history.ExecutionFilter{Action: "pack0.action0", Statuses: bad})),
		s.executions("running, of an action", func(n int) history.ExecutionFilter {
			return history.ExecutionFilter{Action: fmt.Sprintf("pack%d.action%d", n%200/10, n%200), Statuses: []streams.Status{streams.Running}}
		}),
		s.executions("of a rule", func(n int) history.ExecutionFilter {
			return history.ExecutionFilter{Rule: fmt.Sprintf("pack%d.rule%d", n%20, n%100)}
		}),
		s.executions("of a rule that matched five times", same(history.ExecutionFilter{Rule: "rare.rule"})),
		s.executions("of a rule, lost", func(n int) history.ExecutionFilter {
			return history.ExecutionFilter{Rule: fmt.Sprintf("pack%d.rule%d", n%20, n%100), Statuses: []streams.Status{streams.Lost}}
		}),
		s.executions("of a rule that matched five times, failed", same(history.ExecutionFilter{Rule: "rare.rule", Statuses: bad})),
		s.executions("of an event", func(n int) history.ExecutionFilter { return history.ExecutionFilter{Event: one(s.events, n)} }),
		s.executions("in one pack", func(n int) history.ExecutionFilter {
			return history.ExecutionFilter{Packs: []string{fmt.Sprintf("pack%d", n%20)}}
		}),
		s.executions("in a pack that ran ten times", same(history.ExecutionFilter{Packs: []string{"rare"}})),
		s.executions("in ten packs", same(history.ExecutionFilter{Packs: []string{"pack9", "pack10", "pack11", "pack12", "pack13", "pack14", "pack15", "rare", "none", "other"}})),
		s.executions("in ten packs, failed", same(history.ExecutionFilter{Packs: []string{"pack1", "pack2", "pack3", "pack4", "pack5", "pack6", "pack7", "rare", "none", "other"}, Statuses: bad})),
		s.executions("since yesterday", same(history.ExecutionFilter{Since: s.ago(1)})),
		s.executions("until three weeks ago", same(history.ExecutionFilter{Until: s.ago(21)})),
		s.executions("of an action in one day, failed", func(n int) history.ExecutionFilter {
			return history.ExecutionFilter{Action: fmt.Sprintf("pack%d.action%d", n%200/10, n%200), Statuses: bad, Since: s.ago(n%28 + 1), Until: s.ago(n % 28)}
		}),
	}
	for _, d := range []struct {
		name string
		f    history.ExecutionFilter
	}{
		{"deep page of all", history.ExecutionFilter{}},
		{"deep page of an action", history.ExecutionFilter{Action: "pack3.action31"}},
		{"deep page of the failed", status(streams.Failed)},
		{"deep page of a pack", history.ExecutionFilter{Packs: []string{"pack5"}}},
	} {
		a, err := s.deep(ctx, d.name, d.f)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return append(all, s.show("one, its id of version 7", s.v7), s.show("one, its id derived", s.v5)), nil
}

func (s *site) eventLists() []asked {
	same := func(f history.EventFilter) func(int) history.EventFilter {
		return func(int) history.EventFilter { return f }
	}
	return []asked{
		s.eventPage("newest events", same(history.EventFilter{})),
		s.eventPage("events of a trigger", func(n int) history.EventFilter {
			return history.EventFilter{Trigger: fmt.Sprintf("pack%d.trigger%d", n%100/5, n%100)}
		}),
		s.eventPage("events of a trigger that came ten times", same(history.EventFilter{Trigger: "rare.trigger"})),
		s.eventPage("events rejected", same(history.EventFilter{Status: streams.EventRejected})),
		s.eventPage("events of a trigger, rejected", func(n int) history.EventFilter {
			return history.EventFilter{Trigger: fmt.Sprintf("pack%d.trigger%d", n%100/5, n%100), Status: streams.EventRejected}
		}),
		s.eventPage("events not decided", same(history.EventFilter{Status: streams.EventReceived})),
		s.eventPage("events in one pack", func(n int) history.EventFilter {
			return history.EventFilter{Packs: []string{fmt.Sprintf("pack%d", n%20)}}
		}),
		s.eventPage("events in a pack that had ten", same(history.EventFilter{Packs: []string{"rare"}})),
		s.eventPage("events until three weeks ago", same(history.EventFilter{Until: s.ago(21)})),
		{"one event with its decisions", func(ctx context.Context, n int) (int, error) {
			_, err := s.s.Event(ctx, one(s.events, n))
			return 1, err
		}},
	}
}

// upkeep is what services ask by themselves.
func (s *site) upkeep() []asked {
	return []asked{
		{"unfinished, all", func(ctx context.Context, _ int) (int, error) {
			found, err := s.s.Unfinished(ctx)
			return len(found), err
		}},
		{"unfinished, a page", func(ctx context.Context, _ int) (int, error) {
			found, _, err := s.s.ListUnfinished(ctx, history.UnfinishedFilter{}, history.Page{})
			return len(found), err
		}},
		{"unfinished, counted", func(ctx context.Context, _ int) (int, error) {
			return s.s.CountUnfinished(ctx, history.UnfinishedFilter{}, history.Page{})
		}},
		{"unfinished of an action, counted", func(ctx context.Context, n int) (int, error) {
			return s.s.CountUnfinished(ctx, history.UnfinishedFilter{Action: fmt.Sprintf("pack%d.action%d", n%200/10, n%200)}, history.Page{})
		}},
		{"facts to be swept", func(ctx context.Context, _ int) (int, error) {
			found, err := s.s.Leftovers(ctx, 1, 0, 200)
			return len(found), err
		}},
		{"ends to be announced", func(ctx context.Context, _ int) (int, error) {
			found, err := s.s.Unannounced(ctx, 100)
			return len(found), err
		}},
		{"logs to be settled", func(ctx context.Context, _ int) (int, error) {
			found, err := s.s.Unsettled(ctx, history.Unsettled{}, 100)
			return len(found), err
		}},
		{"which of 50 exist", func(ctx context.Context, n int) (int, error) {
			known, err := s.s.Exists(ctx, s.v5[n%100:n%100+50])
			return len(known), err
		}},
	}
}
