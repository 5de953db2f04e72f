package installer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// look is how often versions that are on their way are looked at though nothing has changed: time passes for runners
// that say nothing.
const look = time.Second

// leader is the work of the copy that holds the lease. Its loop is the only one that decides.
type leader struct {
	*Installer
	runners mirror[streams.RunnerInfo]
	reports mirror[streams.Environment]

	// Of the loop alone.
	archives   archives
	announced  map[string]int // by digest: the generation that runners were told of
	since      time.Time      // when this copy began to lead, or its connection was restored
	reconnects uint64
	again      *backoff.ExponentialBackOff
	notBefore  time.Time // after a step that could not be done

	tidied      time.Time // when everything was compared last
	revision    int64     // of the definitions that it was compared with
	unseen      map[string]time.Time
	unavailable map[string]bool // digests whose archive is no pack; said once
}

func newLeader(i *Installer) *leader {
	l := &leader{
		Installer: i,
		archives:  archives{js: i.Bus.JS, temp: i.TempDir, read: map[string]pack.Pack{}, asks: map[string]asks{}},
		announced: map[string]int{}, since: time.Now(), reconnects: i.Bus.Conn.Stats().Reconnects,
		again: backoff.NewExponentialBackOff(), unseen: map[string]time.Time{}, unavailable: map[string]bool{},
	}
	l.runners = mirror[streams.RunnerInfo]{js: i.Bus.JS, bucket: streams.BucketRunners, log: i.log}
	l.reports = mirror[streams.Environment]{js: i.Bus.JS, bucket: streams.BucketEnvironments, log: i.log}
	l.again.InitialInterval, l.again.MaxInterval = 100*time.Millisecond, 5*time.Second
	return l
}

// work goes over everything after each change, until ctx ends.
func (l *leader) work(ctx context.Context) error {
	every := min(look, l.Every)
	tick := time.NewTimer(lifecycle.UntilBeat(every))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.wake:
		case <-tick.C:
			tick.Reset(lifecycle.UntilBeat(every))
		}
		l.round(ctx)
	}
}

// round does what is to be done now. What cannot be done is tried again after a pause.
func (l *leader) round(ctx context.Context) {
	snap := l.snapshot.Load()
	runners, known := l.runners.all()
	reports, reported := l.reports.all()
	if snap == nil || !known || !reported || time.Now().Before(l.notBefore) {
		return
	}
	l.noteReconnects()
	err := l.installs(ctx, snap, crowd{runners: runners, reports: reports})
	if err == nil && l.due(snap) {
		err = l.tidy(ctx, snap, runners, reports)
	}
	switch {
	case err == nil:
		l.again.Reset()
	case ctx.Err() == nil:
		next := l.again.NextBackOff()
		l.notBefore = time.Now().Add(next)
		l.log.WarnContext(ctx, "installs wait, trying again", slog.Any(logging.Error, err), slog.Duration("in", next))
	}
}

// noteReconnects notices that NATS was away: entries of runners may have expired meanwhile.
func (l *leader) noteReconnects() {
	if n := l.Bus.Conn.Stats().Reconnects; n != l.reconnects {
		l.reconnects, l.since = n, time.Now()
	}
}

// crowd is who lives and what was reported.
type crowd struct {
	runners map[string]streams.RunnerInfo
	reports map[string]streams.Environment
}

// of gives all runners, and what they report about one version.
func (c crowd) of(digest string) (all []streams.RunnerInfo, reports map[string]streams.Environment) {
	reports = map[string]streams.Environment{}
	for _, r := range c.runners {
		all = append(all, r)
		if report, ok := c.reports[streams.EnvironmentKey(digest, r.Name)]; ok {
			reports[r.Name] = report
		}
	}
	return all, reports
}

// installs moves every version that is on its way. Errors of one do not keep the others.
func (l *leader) installs(ctx context.Context, snap *definitions.Snapshot, c crowd) error {
	var errs []error
	building := 0
	for _, v := range snap.Versions {
		if v.Coming() {
			building++
		}
		if v.State != definitions.VersionBuilding {
			continue
		}
		if err := l.install(ctx, v, c); err != nil && !errors.Is(err, definitions.ErrStale) && !errors.Is(err, definitions.ErrNoVersion) {
			errs = append(errs, err)
		}
	}
	l.metrics.building.Set(float64(building))
	return errors.Join(errs...)
}
