package recorder

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"reflect"
	"time"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/lease"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/retention"
)

// DefaultSweepEvery is how often logs are swept.
const DefaultSweepEvery = time.Hour

const (
	retentionLease = "retention"
	// lookEvery is how often the sweeper looks whether the store is too large or a policy has changed.
	lookEvery = time.Minute
	// sweepRetry is how long after a sweep that failed the next is tried.
	sweepRetry = 5 * time.Minute
)

// retain sweeps logs that no policy keeps, in one recorder at a time.
func (r *Recorder) retain(ctx context.Context) error {
	if r.Owner == "" {
		return nil
	}
	c := lease.Config{JS: r.Bus.JS, Key: retentionLease, Owner: r.Owner, Logger: r.Logger}
	return lease.Run(ctx, c, func(ctx context.Context) error {
		s := &sweeping{Recorder: r, ledger: retention.Ledger{DB: r.DB}}
		for ctx.Err() == nil {
			if err := s.turn(ctx); err != nil && ctx.Err() == nil {
				r.Logger.WarnContext(ctx, "logs are not swept for now", slog.Any(logging.Error, err))
				lifecycle.Pause(ctx, longestPause)
			}
		}
		return context.Cause(ctx)
	})
}

// sweeping is the work of the one recorder that sweeps.
type sweeping struct {
	*Recorder
	ledger   retention.Ledger
	logs     *logs.Store
	versions []string // digests of the packs' versions that there are
	full     int64    // size of the store after the sweep that was made because it was too large
}

// turn waits until there is a reason to sweep, and sweeps.
func (s *sweeping) turn(ctx context.Context) error {
	if s.logs == nil {
		store, err := logs.Open(ctx, logs.Config{Bus: s.Bus, Logger: s.Logger})
		if err != nil {
			return err
		}
		s.logs = store
	}
	st, request, err := s.ledger.Read(ctx)
	if err != nil {
		return err
	}
	policies, err := s.policies(ctx)
	if err != nil {
		return err
	}
	why, err := s.reason(ctx, st, request, policies)
	if err != nil {
		return err
	}
	if why == "" {
		return s.ledger.Wait(ctx, max(min(lookEvery, time.Until(st.NextAt)), time.Millisecond))
	}
	return s.sweep(ctx, policies, why)
}

// policies are those of the installation and of the actions that there are now.
func (s *sweeping) policies(ctx context.Context) (retention.Policies, error) {
	snap, err := definitions.New(s.DB).Snapshot(ctx)
	if err != nil {
		return retention.Policies{}, err
	}
	s.versions = retention.VersionsOf(snap)
	p := s.Retention
	p.Actions = retention.OfActions(snap)
	return p, nil
}

// reason tells why to sweep now; "" for not to.
func (s *sweeping) reason(ctx context.Context, st retention.State, asked retention.Request, p retention.Policies) (string, error) {
	switch {
	case st.Owes(asked):
		return "asked for by " + asked.By, nil
	case st.Sweep == nil || st.Sweep.EndedAt.IsZero() || !time.Now().Before(st.NextAt):
		return "it is time", nil
	case !same(st.Policies, p) || st.Every != s.every():
		return "a policy has changed", nil
	case p.Logs.Bytes == 0:
		return "", nil
	}
	size, err := s.logs.BucketBytes(ctx)
	if err == nil && size > max(p.Logs.Bytes, s.full+p.Logs.Bytes/64) {
		return "the store is larger than its policy allows", nil
	}
	return "", err
}

func same(a, b retention.Policies) bool {
	if !maps.Equal(a.Actions, b.Actions) {
		return false
	}
	a.Actions, b.Actions = nil, nil
	return reflect.DeepEqual(a, b)
}

func (s *sweeping) every() time.Duration { return cmp.Or(s.SweepEvery, DefaultSweepEvery) }

func (s *sweeping) sweep(ctx context.Context, p retention.Policies, why string) error {
	now := time.Now().UTC()
	st := retention.State{Policies: p, Every: s.every(), Sweep: &retention.Sweep{StartedAt: now, Why: why}, NextAt: now.Add(s.every())}
	if err := s.ledger.Write(ctx, st); err != nil {
		return err
	}
	sweeper := &retention.Sweeper{DB: s.DB, Bus: s.Bus, Logs: s.logs, Policies: p, Versions: s.versions, Progress: func(ctx context.Context, r retention.Report) {
		st.Sweep.Report = r
		if err := s.ledger.Write(ctx, st); err != nil {
			s.Logger.DebugContext(ctx, "progress of a sweep is not kept", slog.Any(logging.Error, err))
		}
	}}
	report, err := sweeper.Sweep(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	st.Sweep.Report, st.Sweep.EndedAt = report, time.Now().UTC()
	if err != nil {
		st.Sweep.Error, st.NextAt = err.Error(), time.Now().UTC().Add(min(sweepRetry, s.every()))
	}
	s.full = 0
	if size, sizeErr := s.logs.BucketBytes(ctx); sizeErr == nil {
		s.full = size
	}
	s.metrics.swept(report, s.full, err)
	s.say(ctx, st.Sweep, err)
	return s.ledger.Write(ctx, st)
}

func (s *sweeping) say(ctx context.Context, sw *retention.Sweep, err error) {
	r := sw.Report
	if err != nil {
		s.Logger.ErrorContext(ctx, "sweep of logs failed", slog.Any(logging.Error, err), slog.Int64("removed", r.Removed.Logs))
		return
	}
	if len(r.Busy) > 0 {
		s.Logger.WarnContext(ctx, "partitions of history are in use and stay until the next sweep", slog.Any("partitions", r.Busy))
	}
	if r.Removed.Logs+r.Others.Logs+r.Executions+r.Events > 0 {
		s.Logger.InfoContext(ctx, "logs swept", slog.String("reason", sw.Why), slog.Int64("logs", r.Removed.Logs+r.Others.Logs), slog.Int64("bytes", r.Removed.Bytes+r.Others.Bytes),
			slog.Int64("executions", r.Executions), slog.Int64("events", r.Events), slog.Int("partitions", len(r.Dropped)), slog.Duration("took", sw.EndedAt.Sub(sw.StartedAt)))
	}
}
