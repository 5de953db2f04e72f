package runner

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// consumerPause is how long intake waits before it asks for a lost consumer again.
const consumerPause = time.Second

// intake is where work comes in: from the runner's pool, and from every placement that the runner fits. All of it
// shares the slots. What is asked of the pool is as many messages as slots are free; of each placement it is one.
// Together that may be more than there is room for, so a message for which no slot is left is given back, and
// another runner has it at once.
type intake struct {
	r       *Runner
	in      chan *nats.Msg
	pulls   map[*nats.Subscription]*pull
	restore chan nats.Status // tells of reconnections, after which every request is forgotten
}

// takeWork takes work until ctx ends. Nothing waits here which another runner could run.
func (r *Runner) takeWork(ctx, work context.Context) error {
	for ctx.Err() == nil {
		err := r.takeOnce(ctx, work)
		if ctx.Err() != nil {
			break
		}
		r.log.WarnContext(ctx, "intake interrupted", slog.Any(logging.Error, err), slog.Duration("retry_in", consumerPause))
		lifecycle.Pause(ctx, consumerPause)
	}
	return context.Cause(ctx)
}

// takeOnce takes work until something fails.
func (r *Runner) takeOnce(ctx, work context.Context) error {
	q := &intake{r: r, in: make(chan *nats.Msg, 4*r.Slots+1024), pulls: map[*nats.Subscription]*pull{}}
	q.restore = r.Bus.Conn.StatusChanged(nats.CONNECTED)
	defer q.close()
	if err := q.open(ctx, r.Pool); err != nil {
		return err
	}
	for token := range r.joined {
		if err := q.open(ctx, token); err != nil {
			return err
		}
	}
	return q.serve(ctx, work)
}

// open begins to take what is handed out under a pool's or placement's token.
func (q *intake) open(ctx context.Context, token string) error {
	if err := streams.EnsurePool(ctx, q.r.Bus.JS, token); err != nil {
		return err
	}
	consumer, err := streams.PoolConsumer(token)
	if err != nil {
		return err
	}
	most := 1
	if token == q.r.Pool {
		most = q.r.Slots
	}
	p, err := newPull(q.r.Bus.Conn, streams.Runs, consumer, most, q.in)
	if err != nil {
		return err
	}
	q.pulls[p.sub] = p
	return nil
}

// serve runs what comes.
func (q *intake) serve(ctx, work context.Context) error {
	watch := time.NewTicker(pullHeartbeat)
	defer watch.Stop()
	for {
		if err := q.ask(); err != nil {
			return err
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.r.slots.freed:
		case m := <-q.in:
			err = q.receive(work, m)
		case <-q.restore:
			err = q.again(func(*pull) bool { return true })
		case <-watch.C:
			err = q.again((*pull).silent)
		case token := <-q.r.join:
			err = q.join(ctx, token)
		}
		if err != nil {
			return err
		}
	}
}

// ask asks for what there is room for.
func (q *intake) ask() error {
	free := q.r.slots.left()
	for _, p := range q.pulls {
		if n := min(free, p.most) - p.asked; n > 0 {
			if err := p.ask(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *intake) again(which func(*pull) bool) error {
	for _, p := range q.pulls {
		if which(p) {
			if err := p.again(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *intake) join(ctx context.Context, token string) error {
	if q.r.joined[token] {
		return nil
	}
	q.r.joined[token] = true
	q.r.log.DebugContext(ctx, "takes executions of a placement", slog.String("placement", token))
	return q.open(ctx, token)
}

func (q *intake) receive(work context.Context, m *nats.Msg) error {
	p := q.pulls[m.Sub]
	if p == nil {
		return fmt.Errorf("message on %s: %w", m.Subject, errNotAsked)
	}
	isWork, err := p.receive(m)
	if err != nil || !isWork {
		return err
	}
	if !q.r.slots.take() {
		return m.Nak()
	}
	q.r.runs.Add(1)
	q.r.hands.do(func() {
		defer q.r.runs.Done()
		q.r.running.Add(1)
		defer func() { q.r.running.Add(-1); q.r.slots.leave() }()
		q.r.handle(work, m)
	})
	return nil
}

// close ends all pulls and lets other runners have what had just been delivered.
func (q *intake) close() {
	q.r.Bus.Conn.RemoveStatusListener(q.restore)
	for _, p := range q.pulls {
		p.close()
	}
	for {
		select {
		case m := <-q.in:
			if m != nil && m.Header.Get(statusHeader) == "" {
				_ = m.Nak() // else it is delivered again when its time is over
			}
		default:
			return
		}
	}
}
