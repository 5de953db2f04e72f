package recorder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

const (
	// maxSwept is how many executions' facts are deleted before that is noted.
	maxSwept = 200
	// sweepers is how many deletions are under way at once; more would only crowd out publishers.
	sweepers = 4
)

// sweep deletes the facts of executions that ended long enough ago. What is to be deleted is derived from the
// table, so a sweep that is killed goes on with the next.
func (r *Recorder) sweep(ctx context.Context) error {
	every := min(max(r.Grace/10, 100*time.Millisecond), 30*time.Second)
	for ctx.Err() == nil {
		if err := r.sweepAll(ctx); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "facts of ended executions stay on the bus for now", slog.Any(logging.Error, err), slog.Duration("retry_in", every))
		}
		lifecycle.Pause(ctx, every)
	}
	return context.Cause(ctx)
}

func (r *Recorder) sweepAll(ctx context.Context) error {
	stream, err := r.Bus.JS.Stream(ctx, streams.Executions)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", streams.Executions, err)
	}
	epoch := epochOf(stream.CachedInfo())
	if r.cleared != epoch {
		if err := r.history.ForgetOlder(ctx, epoch); err != nil {
			return err
		}
		r.cleared = epoch
	}
	for {
		left, err := r.history.Leftovers(ctx, epoch, r.Grace, maxSwept)
		if err != nil || len(left) == 0 {
			return err
		}
		if err := deleteFacts(ctx, stream, left); err != nil {
			return err
		}
		if err := r.history.Swept(ctx, epoch, left); err != nil || len(left) < maxSwept {
			return err
		}
	}
}

func deleteFacts(ctx context.Context, stream jetstream.Stream, left []history.Leftover) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sweepers)
	for _, l := range left {
		g.Go(func() error {
			for _, seq := range l.Seqs {
				if err := deleteFact(ctx, stream, uint64(seq)); err != nil {
					return fmt.Errorf("delete fact %d of execution %s: %w", seq, l.ID, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// deleteFact deletes a message, and is content when it is gone already.
func deleteFact(ctx context.Context, stream jetstream.Stream, seq uint64) error {
	err := stream.DeleteMsg(ctx, seq)
	if err == nil {
		return nil
	}
	if _, missing := stream.GetMsg(ctx, seq); errors.Is(missing, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}
