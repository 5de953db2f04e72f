package retention

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/logs"
)

const (
	// batchLogs is how many logs are removed before their rows say so.
	batchLogs = 100
	// removers is how many are being removed at once; more would only crowd out publishers.
	removers = 8
	// forgetRows is how many rows of history go in one transaction.
	forgetRows = 1_000
	// DefaultRate is how many logs a second are removed at most.
	DefaultRate = 1_000
)

// Sweeper removes what no policy keeps.
type Sweeper struct {
	DB       *pgxpool.Pool
	Bus      *bus.Bus
	Logs     *logs.Store
	Policies Policies
	Rate     int                           // logs a second at most; 0 means DefaultRate
	Progress func(context.Context, Report) // told after every batch; may be nil
	Versions []string                      // digests of the versions of packs that there are; nil: installations are left alone
}

// Part is what is removed of one action's logs by one bound.
type Part struct {
	Action string `json:"action"`
	By     string `json:"by"`
	Total
}

// Report is what a sweep has removed, or, when dry, would.
type Report struct {
	Kept       Total            `json:"kept"` // of executions, before
	KeptBy     map[string]Total `json:"kept_by,omitempty"`
	Removed    Total            `json:"removed"` // of executions
	Parts      []Part           `json:"parts,omitempty"`
	Others     Total            `json:"others"` // logs of what history does not know: of sensors, installations and executions
	Executions int64            `json:"executions"`
	Events     int64            `json:"events"`
	Dropped    []string         `json:"dropped,omitempty"` // partitions of history that went as a whole; their rows are counted above
	Busy       []string         `json:"busy,omitempty"`    // partitions that would have gone if nobody had used them; the next sweep tries again
}

func (r *Report) count(l Log) {
	one := Total{Logs: 1, Bytes: l.Size, Oldest: l.EndedAt, Newest: l.EndedAt}
	r.Removed.add(one)
	i := slices.IndexFunc(r.Parts, func(p Part) bool { return p.Action == l.Action && p.By == l.By })
	if i < 0 {
		i = len(r.Parts)
		r.Parts = append(r.Parts, Part{Action: l.Action, By: l.By})
	}
	r.Parts[i].add(one)
}

// DryRun tells what Sweep would remove, and removes nothing.
func (s *Sweeper) DryRun(ctx context.Context) (Report, error) {
	plan, r, err := s.plan(ctx)
	if err != nil {
		return r, err
	}
	for l, err := range plan.Logs(ctx) {
		if err != nil {
			return r, err
		}
		r.count(l)
	}
	if err = s.others(ctx, &r, true); err == nil {
		err = s.forget(ctx, &r, true)
	}
	r.sort()
	return r, err
}

func (s *Sweeper) plan(ctx context.Context) (*Plan, Report, error) {
	plan, err := MakePlan(ctx, s.DB, s.Policies, time.Now())
	if err != nil {
		return nil, Report{}, err
	}
	return plan, Report{Kept: plan.all, KeptBy: plan.Kept}, nil
}

func (r *Report) sort() {
	slices.SortFunc(r.Parts, func(a, b Part) int { return strings.Compare(a.Action+" "+a.By, b.Action+" "+b.By) })
}

// Sweep removes logs of executions, then logs that nobody knows any more, then rows of history. What it has removed is
// removed, also when it returns an error; the next goes on.
func (s *Sweeper) Sweep(ctx context.Context) (Report, error) {
	plan, r, err := s.plan(ctx)
	if err != nil {
		return r, err
	}
	batch := make([]Log, 0, batchLogs)
	for l, err := range plan.Logs(ctx) {
		if err != nil {
			return r, err
		}
		if batch = append(batch, l); len(batch) < batchLogs {
			continue
		}
		if err := s.remove(ctx, batch, &r); err != nil {
			return r, err
		}
		batch = batch[:0]
	}
	if err := s.remove(ctx, batch, &r); err != nil {
		return r, err
	}
	if err := s.others(ctx, &r, false); err != nil {
		return r, err
	}
	err = s.forget(ctx, &r, false)
	r.sort()
	return r, err
}

// remove removes logs, and marks their rows then: a row that does not say so has its log removed again.
func (s *Sweeper) remove(ctx context.Context, batch []Log, r *Report) error {
	if len(batch) == 0 {
		return nil
	}
	began := time.Now()
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(removers)
	for _, l := range batch {
		g.Go(func() error { return s.Logs.RemoveEnded(groupCtx, l.ID, l.EndedAt) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.RetentionRemoved)
	ids, by, at := make([]string, 0, len(batch)), make([]string, 0, len(batch)), make([]time.Time, 0, len(batch))
	for _, l := range batch {
		ids, by, at = append(ids, l.ID), append(by, l.By), append(at, l.RequestedAt)
	}
	if _, err := s.DB.Exec(ctx, query("mark"), ids, by, at); err != nil {
		return fmt.Errorf("note that %d logs are removed: %w", len(batch), err)
	}
	failpoint.Hit(failpoint.RetentionMarked)
	for _, l := range batch {
		r.count(l)
	}
	s.told(ctx, *r)
	return s.pace(ctx, began, len(batch))
}

func (s *Sweeper) told(ctx context.Context, r Report) {
	if s.Progress != nil {
		s.Progress(ctx, r)
	}
}

// pace waits until so many could be removed since then.
func (s *Sweeper) pace(ctx context.Context, since time.Time, n int) error {
	rate := s.Rate
	if rate == 0 {
		rate = DefaultRate
	}
	rest := time.NewTimer(time.Until(since.Add(time.Duration(n) * time.Second / time.Duration(rate))))
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-rest.C:
		return nil
	}
}
