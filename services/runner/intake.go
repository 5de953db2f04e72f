package runner

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// consumerPause is how long intake waits before it asks for a lost consumer again.
const consumerPause = time.Second

// ensureConsumer makes the consumer that the runners of the pool share, unless it is there.
func (r *Runner) ensureConsumer(ctx context.Context) error {
	return streams.EnsurePool(ctx, r.Bus.JS, r.Pool)
}

// intake takes one message per free slot until ctx ends. It asks for a message only when it has a slot for
// it, so that nothing waits here which another runner could run.
func (r *Runner) intake(ctx, work context.Context) error {
	for ctx.Err() == nil {
		err := r.takeFrom(ctx, work)
		if ctx.Err() != nil {
			break
		}
		r.log.WarnContext(ctx, "intake interrupted", slog.Any(logging.Error, err), slog.Duration("retry_in", consumerPause))
		pause(ctx, consumerPause)
		if err := r.ensureConsumer(ctx); err != nil {
			r.log.DebugContext(ctx, "consumer not found", slog.Any(logging.Error, err))
		}
	}
	return context.Cause(ctx)
}

// takeFrom runs what one pull brings. Slots that it had asked messages for are free again when it returns.
func (r *Runner) takeFrom(ctx, work context.Context) error {
	name, err := streams.PoolConsumer(r.Pool)
	if err != nil {
		return err
	}
	p, err := newPull(r.Bus.Conn, streams.Runs, name, r.Slots)
	if err != nil {
		return err
	}
	defer func() {
		p.close()
		r.release(p.asked)
	}()
	watch := time.NewTicker(pullHeartbeat)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.free:
			err = p.ask(1 + r.acquire())
		case m := <-p.in:
			err = r.receive(work, p, m)
		case <-p.restore:
			err = p.again()
		case <-watch.C:
			if p.silent() {
				err = p.again()
			}
		}
		if err != nil {
			return err
		}
	}
}

func (r *Runner) receive(work context.Context, p *pull, m *nats.Msg) error {
	isWork, err := p.receive(m)
	if err != nil || !isWork {
		return err
	}
	r.runs.Go(func() {
		r.running.Add(1)
		defer func() { r.running.Add(-1); r.release(1) }()
		r.handle(work, m)
	})
	return nil
}

// acquire takes all slots that are free now and gives their number.
func (r *Runner) acquire() int {
	for n := 0; ; n++ {
		select {
		case <-r.free:
		default:
			return n
		}
	}
}

func (r *Runner) release(slots int) {
	for range slots {
		r.free <- struct{}{}
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
