package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/retention"
)

func retentionCommand(a *app) *cobra.Command {
	return group("retention", "Which logs are kept, and for how long", "attune retention show", retentionShow(a), retentionSweep(a))
}

func retentionShow(a *app) *cobra.Command {
	return command("show", "Show which logs are kept, and how the last sweep went", "attune retention show", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			r, err := s.api.Retention(ctx)
			if err != nil {
				return err
			}
			return showOne(s.view, r, showRetention)
		}))
}

func showRetention(s *sheet, r api.Retention) {
	s.field("logs", boundsOf(r.Logs))
	for _, action := range slices.Sorted(maps.Keys(r.Actions)) {
		s.field("logs of "+action, boundsOf(r.Actions[action]))
	}
	s.field("history", first(r.History, "for ever"))
	s.field("stored", sizeOf(r.StoredBytes))
	s.field("sweeps", "every "+r.Every)
	if sw := r.Sweep; sw != nil {
		s.time("last sweep", &sw.StartedAt)
		s.field("because", sw.Why)
		s.field("removed", reportText(sw.Report))
		if sw.EndedAt == nil {
			s.field("state", "under way")
		}
		s.painted("error", sw.Error, paint.bad)
	}
	if r.NextAt != nil {
		s.field("next sweep", whenText(s, *r.NextAt))
	}
}

// boundsOf writes a policy.
func boundsOf(p api.RetentionPolicy) string {
	text := retention.Policy{Count: p.Count, Bytes: p.Bytes}
	switch {
	case p.Age == "":
		return text.String()
	case text == retention.Policy{}:
		return p.Age
	}
	return p.Age + ", " + text.String()
}

// sizeOf writes a number of bytes as people read it.
func sizeOf(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return strconv.FormatInt(n, 10) + " B"
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// reportText says in a line what a sweep has removed.
func reportText(r api.RetentionReport) string {
	text := fmt.Sprintf("%d logs (%s)", r.Removed.Logs, sizeOf(r.Removed.Bytes))
	if r.Others.Logs > 0 {
		text += fmt.Sprintf(", %d that nobody knows any more (%s)", r.Others.Logs, sizeOf(r.Others.Bytes))
	}
	if r.Executions+r.Events > 0 {
		text += fmt.Sprintf(", %d executions and %d events of history", r.Executions, r.Events)
	}
	return text
}

func retentionSweep(a *app) *cobra.Command {
	var dry bool
	c := command("sweep [--dry-run]", "Remove now what no policy keeps", "attune retention sweep --dry-run", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			asked, err := s.api.Sweep(ctx, dry)
			if err != nil {
				return err
			}
			if asked.WouldRemove != nil {
				return s.sweepReport(*asked.WouldRemove, "would be removed")
			}
			sw, err := s.awaitSweep(ctx, asked)
			if err != nil {
				return err
			}
			if sw.Error != "" {
				return fmt.Errorf("the sweep failed after %s: %s", reportText(sw.Report), sw.Error)
			}
			return s.sweepReport(sw.Report, "removed")
		}))
	c.Flags().BoolVar(&dry, "dry-run", false, "only tell what would be removed")
	return c
}

// awaitSweep waits for the sweep that was asked for, and shows how far it is.
func (s *session) awaitSweep(ctx context.Context, asked api.RetentionAsked) (api.RetentionSweep, error) {
	p := newProgress(s)
	defer p.done()
	for {
		r, err := s.api.Retention(ctx)
		if err != nil {
			return api.RetentionSweep{}, err
		}
		if sw := r.Sweep; sw != nil && asked.RequestedAt != nil && !sw.StartedAt.Before(*asked.RequestedAt) {
			if sw.EndedAt != nil {
				return *sw, nil
			}
			p.say("removed %s", reportText(sw.Report))
		}
		select {
		case <-ctx.Done():
			return api.RetentionSweep{}, context.Cause(ctx)
		case <-time.After(time.Second / 4):
		}
	}
}

func (s *session) sweepReport(r api.RetentionReport, verb string) error {
	if s.format != formatTable {
		return s.said(r, "")
	}
	if len(r.Parts) > 0 {
		err := list(s.view, r.Parts, "logs", []column[api.RetentionPart]{
			{title: "ACTION", cell: func(x api.RetentionPart) string { return x.Action }},
			{title: "BOUND", cell: func(x api.RetentionPart) string { return x.By }},
			{title: "LOGS", cell: func(x api.RetentionPart) string { return strconv.FormatInt(x.Logs, 10) }, number: true},
			{title: "SIZE", cell: func(x api.RetentionPart) string { return sizeOf(x.Bytes) }, number: true},
			{title: "OLDEST", cell: func(x api.RetentionPart) string { return someTime(x.Oldest) }},
			{title: "NEWEST", cell: func(x api.RetentionPart) string { return someTime(x.Newest) }},
		})
		if err != nil {
			return err
		}
	}
	return s.said(r, "%s: %s of %d (%s)", verb, reportText(r), r.Kept.Logs, sizeOf(r.Kept.Bytes))
}

// keptOf says which of an action's logs are kept.
func keptOf(x api.Action) string {
	switch {
	case x.Retention == nil:
		return "as the installation's: attune retention show"
	case x.Retention.Age == "":
		return boundsOf(*x.Retention) + ", and within the installation's bounds"
	}
	return boundsOf(*x.Retention) + ", and within the installation's count and size"
}
