package recorder

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/forward"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lease"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
)

// logsLease is the lease of the recorder that completes logs. Two at once would do no harm, only the same work.
const logsLease = "recorder"

const (
	// DefaultSettle is how long after an execution's end its log is completed by others than its runner, which may
	// have been cut off and come back.
	DefaultSettle = 15 * time.Second
	// settleEvery is how often logs are looked for that are to be completed.
	settleEvery = 5 * time.Second
	// settlePace bounds how fast they are completed, so that the loss of a large runner crowds out nobody.
	settlePace = 20 * time.Millisecond
	// settleTimeout bounds the work on one of them.
	settleTimeout = time.Minute
	// orphansEvery is how often the bucket is looked through for chunks that belong to no object, orphanAge how old
	// they must be, and maxOrphans how many objects' chunks go at once.
	orphansEvery = 6 * time.Hour
	orphanAge    = time.Hour
	maxOrphans   = 1000
	// maxUnsettled is how many are listed at once.
	maxUnsettled = 100
)

// settle completes the logs of ended executions whose runner could not: it is lost, or gave up before all was stored.
// The table is the list of what is to be done, and completing a log again changes nothing, so a recorder that dies
// leaves the rest to the next.
func (r *Recorder) settle(ctx context.Context) error {
	config := lease.Config{JS: r.Bus.JS, Key: logsLease, Owner: r.id, Logger: r.Logger}
	return lease.Campaign(ctx, config, r.keepLogs)
}

// keepLogs is what one recorder does with logs at a time.
func (r *Recorder) keepLogs(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.settleLogs(ctx) })
	g.Go(func() error { return r.forwardLogs(ctx) })
	return g.Wait()
}

// forwardLogs forwards output where that is configured, and else forgets how far an earlier configuration had got.
func (r *Recorder) forwardLogs(ctx context.Context) error {
	if r.forward != nil {
		return r.forward.Run(ctx)
	}
	if err := forward.Remove(ctx, r.Bus.JS); err != nil && ctx.Err() == nil {
		r.Logger.WarnContext(ctx, "consumer that forwards output is left behind, which does no harm", slog.Any(logging.Error, err))
	}
	return nil
}

func (r *Recorder) settleLogs(ctx context.Context) error {
	store, err := logs.Open(ctx, logs.Config{Bus: r.Bus, Logger: r.Logger})
	if err != nil {
		return err
	}
	var looked time.Time
	for ctx.Err() == nil {
		if time.Since(looked) > orphansEvery {
			r.removeOrphans(ctx, store)
			looked = time.Now()
		}
		if err := r.settleAll(ctx, store); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "logs are not completed for now", slog.Any(logging.Error, err), slog.Duration("retry_in", settleEvery))
		}
		lifecycle.Pause(ctx, min(settleEvery, r.Settle))
	}
	return context.Cause(ctx)
}

// removeOrphans removes what whoever stored a log has left when he died between the parts of an object.
func (r *Recorder) removeOrphans(ctx context.Context, store *logs.Store) {
	n, err := store.RemoveOrphans(ctx, orphanAge, maxOrphans)
	if err != nil && ctx.Err() == nil {
		r.Logger.WarnContext(ctx, "orphaned parts of logs stay for now", slog.Any(logging.Error, err), slog.Duration("retry_in", orphansEvery))
	}
	if n > 0 {
		r.metrics.orphans.Add(float64(n))
		r.Logger.InfoContext(ctx, "orphaned parts of logs removed", slog.Int("objects", n))
	}
}

// settleAll goes once through what is unsettled. What cannot be completed now is tried again the next time, and is in
// nobody's way.
func (r *Recorder) settleAll(ctx context.Context, store *logs.Store) error {
	var last history.Unsettled
	left := 0
	for {
		page, err := r.history.Unsettled(ctx, last, maxUnsettled)
		if err != nil {
			return err
		}
		for _, u := range page {
			if time.Since(u.EndedAt) < r.Settle {
				left++
				continue
			}
			if err := r.settleOne(ctx, store, u); err != nil {
				left++
				r.metrics.settled.WithLabelValues("failed").Inc()
				r.Logger.WarnContext(ctx, "log is not completed yet", slog.String(logging.ExecutionID, u.ID), slog.Any(logging.Error, err))
			}
			if lifecycle.Pause(ctx, settlePace); ctx.Err() != nil {
				return nil
			}
		}
		if len(page) < maxUnsettled {
			r.metrics.unsettled.Set(float64(left))
			return nil
		}
		last = page[len(page)-1]
	}
}

func (r *Recorder) settleOne(ctx context.Context, store *logs.Store, u history.Unsettled) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, fmt.Errorf("not done within %s", settleTimeout))
	defer cancel()
	found, err := store.Complete(ctx, u.ID)
	if err != nil {
		return err
	}
	if err := r.history.Settle(ctx, u, history.SettledLog(found)); err != nil {
		return err
	}
	result := "whole"
	if found.Incomplete {
		result = "cut"
	}
	r.metrics.settled.WithLabelValues(result).Inc()
	r.Logger.DebugContext(ctx, "log completed", slog.String(logging.ExecutionID, u.ID), slog.Int64("bytes", found.Bytes), slog.Bool("cut", found.Incomplete))
	return nil
}
