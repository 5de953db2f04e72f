package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

// errWatchEnded is returned when a watch of a bucket ended without being told to.
var errWatchEnded = errors.New("watch ended")

// followPlacements has the runner take the executions of every placement that it fits, old ones and those to come.
// When the machine has other runtimes than before all are considered again.
func (r *Runner) followPlacements(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.watchPlacements(ctx); ctx.Err() == nil && err != nil {
			r.log.WarnContext(ctx, "placements not followed", slog.Any(logging.Error, err), slog.Duration("retry_in", consumerPause))
			lifecycle.Pause(ctx, consumerPause)
		}
	}
}

func (r *Runner) watchPlacements(ctx context.Context) error {
	w, err := bus.Watch(ctx, r.Bus.JS, streams.BucketPlacements, jetstream.AllKeys, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }() // it has ended by itself when its context has
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.machine.change:
			return nil
		case e, open := <-w.Updates():
			if !open {
				return fmt.Errorf("watch bucket %s: %w", streams.BucketPlacements, errWatchEnded)
			}
			if e != nil {
				r.consider(ctx, e.Key(), e.Value())
			}
		}
	}
}

// consider joins a placement when the runner has what it asks for.
func (r *Runner) consider(ctx context.Context, token string, data []byte) {
	var p streams.Placement
	if err := json.Unmarshal(data, &p); err != nil || p.Version > streams.Version || token != placement.Token(p) {
		r.log.WarnContext(ctx, "placement not understood", slog.String("placement", token), slog.Any(logging.Error, err))
		return
	}
	if missing := placement.Missing(p, r.info()); p.Pool != r.Pool || len(missing) > 0 {
		r.log.DebugContext(ctx, "placement does not fit", slog.String("placement", token), slog.String("missing", placement.Describe(missing)))
		return
	}
	select {
	case r.join <- token:
	case <-ctx.Done():
	}
}
