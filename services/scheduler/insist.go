package scheduler

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/logging"
)

// insist repeats what has to be done before anything else may be, until it is done, fails for good
// (backoff.Permanent) or the term ends.
func (t *term) insist(ctx context.Context, what string, do func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, do() },
		backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, next time.Duration) {
			t.Logger.WarnContext(ctx, "leader is held up", slog.String("operation", what), slog.Any(logging.Error, err), slog.Duration("retry_in", next))
		}))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
