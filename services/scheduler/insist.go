package scheduler

import (
	"context"
	"log/slog"
	"time"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
)

// insist repeats what has to be done before anything else may be, until it is done, fails for good
// (backoff.Permanent) or the term ends.
func (t *term) insist(ctx context.Context, what string, do func() error) error {
	notify := func(err error, next time.Duration) {
		t.Logger.WarnContext(ctx, "leader is held up", slog.String("operation", what), slog.Any(logging.Error, err), slog.Duration("retry_in", next))
	}
	err := lifecycle.Insist(ctx, lifecycle.Pauses(50*time.Millisecond, 2*time.Second), notify, do)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
