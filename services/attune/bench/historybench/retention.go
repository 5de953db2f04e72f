package historybench

import (
	"context"
	"fmt"
	"time"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/retention"
	"github.com/attune/attune/services/attune/bench/figure"
)

const (
	// kept is how long history is kept at the end: of the weeks before all may go.
	kept = 10 * 24 * time.Hour
	// deleted is how many executions are removed row by row, for comparison, and in what pages.
	deleted     = 20_000
	deletedPage = 1_000
)

// Drop measures retention: row by row, and by weeks.
func (b *Bench) Drop(ctx context.Context, run *figure.Run) error {
	parts, err := history.New(b.db).Partitions(ctx, "executions")
	if err != nil {
		return err
	}
	// What does not end would keep its week.
	if _, err := b.db.Exec(ctx, `UPDATE executions SET status = 'lost', ended_at = requested_at, log_settled_at = requested_at, announced_attempt = attempt
		WHERE status IN ('requested', 'running') AND requested_at < now() - interval '2 days'`); err != nil {
		return err
	}
	began := time.Now()
	for n := 0; n < deleted; n += deletedPage {
		if _, err := b.db.Exec(ctx, fmt.Sprintf(`DELETE FROM %[1]s WHERE (id, requested_at) IN (SELECT id, requested_at FROM %[1]s ORDER BY requested_at, id LIMIT %[2]d)`,
			parts[0].Table, deletedPage)); err != nil {
			return err
		}
	}
	rows := float64(deleted) / time.Since(began).Seconds()
	sweeper := &retention.Sweeper{DB: b.db, Policies: retention.Policies{History: kept}}
	began = time.Now()
	report, err := sweeper.Sweep(ctx)
	if err != nil {
		return err
	}
	took := time.Since(began)
	weeks := float64(report.Executions+report.Events) / took.Seconds()
	b.say("%d executions and %d events of %v went in %s", report.Executions, report.Events, report.Dropped, took.Round(time.Millisecond))
	run.Ratio("rows removed by retention a second, by weeks", "row by row", weeks, rows, "")
	run.Add(figure.Figure{Name: "rows removed a second, by weeks", Unit: "/s"}, weeks)
	run.Add(figure.Figure{Name: "rows removed a second, row by row", Unit: "/s"}, rows)
	return nil
}
