package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// consumerPause is how long intake waits before it asks for a lost consumer again.
const consumerPause = time.Second

// consumer is the one that the runners of the pool share.
func (r *Runner) consumer(ctx context.Context) (jetstream.Consumer, error) {
	if err := streams.EnsurePool(ctx, r.Bus.JS, r.Pool); err != nil {
		return nil, err
	}
	name, err := streams.PoolConsumer(r.Pool)
	if err != nil {
		return nil, err
	}
	c, err := r.Bus.JS.Consumer(ctx, streams.Runs, name)
	if err != nil {
		return nil, fmt.Errorf("consumer %s of %s: %w", name, streams.Runs, err)
	}
	return c, nil
}

// intake takes one message per free slot until ctx ends. It asks for a message only when it has a slot for
// it, so that nothing waits here which another runner could run.
func (r *Runner) intake(ctx, work context.Context, pool jetstream.Consumer) error {
	for ctx.Err() == nil {
		err := r.takeFrom(ctx, work, pool)
		if ctx.Err() != nil {
			break
		}
		r.log.WarnContext(ctx, "intake interrupted", slog.Any(logging.Error, err), slog.Duration("retry_in", consumerPause))
		pause(ctx, consumerPause)
		if again, err := r.consumer(ctx); err == nil {
			pool = again
		}
	}
	return context.Cause(ctx)
}

func (r *Runner) takeFrom(ctx, work context.Context, pool jetstream.Consumer) error {
	it, err := pool.Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		return fmt.Errorf("pull from %s: %w", streams.Runs, err)
	}
	defer r.giveBack(it)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.free:
		}
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			r.free <- struct{}{}
			if errors.Is(err, jetstream.ErrNoHeartbeat) {
				continue // the server is away; the pull is repeated when it is back
			}
			return err
		}
		r.runs.Go(func() {
			r.running.Add(1)
			defer func() { r.running.Add(-1); r.free <- struct{}{} }()
			r.handle(work, msg)
		})
	}
}

// giveBack ends the pull and lets another runner have what had just been delivered.
func (r *Runner) giveBack(it jetstream.MessagesContext) {
	it.Drain()
	for {
		msg, err := it.Next()
		if err != nil {
			return
		}
		_ = msg.Nak() // else it is delivered again when its time is over
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
