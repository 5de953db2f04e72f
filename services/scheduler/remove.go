package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// removeAll deletes queue messages whose executions have ended, by sequence, so that a message which somebody
// put there later is not touched. What a leader leaves undone the next one finds.
func (t *term) removeAll(ctx context.Context) error {
	queue, err := t.Bus.JS.Stream(ctx, streams.Queue)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", streams.Queue, err)
	}
	for {
		one, err := t.remove.take(ctx, 1)
		if err != nil {
			return err
		}
		t.removeOne(ctx, queue, one[0])
	}
}

func (t *term) removeOne(ctx context.Context, queue jetstream.Stream, seq uint64) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 5*time.Second
	for ctx.Err() == nil {
		err := queue.DeleteMsg(ctx, seq)
		if err == nil || isGone(err) || ctx.Err() != nil {
			return
		}
		next := pause.NextBackOff()
		t.Logger.WarnContext(ctx, "queue message not deleted", slog.Uint64("sequence", seq), slog.Any(logging.Error, err), slog.Duration("retry_in", next))
		wait(ctx, next)
	}
}

// isGone tells whether the server says that there is no such message: somebody else deleted it.
func isGone(err error) bool {
	const (
		sequenceNotFound jetstream.ErrorCode = 10043
		deleteFailed     jetstream.ErrorCode = 10057 // its text says why: the message is not there
	)
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == sequenceNotFound || api.ErrorCode == deleteFailed)
}
