package recorder

import (
	"context"
	"log/slog"
	"time"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
)

const (
	// partitionEvery is how often the partitions of the next weeks are looked after.
	partitionEvery = time.Hour
	// partitionRetry is how long after an attempt that failed the next is made.
	partitionRetry = time.Minute
)

// partition makes the partitions that history will need. Every copy does so: the database lets one at a time, and there is
// nothing left to do for the others. What is recorded meanwhile does not wait for it.
func (r *Recorder) partition(ctx context.Context) error {
	for ctx.Err() == nil {
		next := partitionEvery
		made, err := r.history.MakePartitions(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			next = partitionRetry
			r.Logger.WarnContext(ctx, "partitions of history are not made for now", slog.Any(logging.Error, err), slog.Duration("retry_in", next))
		}
		if made > 0 {
			r.Logger.InfoContext(ctx, "partitions of history made", slog.Int("tables", made))
		}
		lifecycle.Pause(ctx, next)
	}
	return context.Cause(ctx)
}
