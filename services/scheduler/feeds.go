package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// errWatchClosed is returned when the client ended the watch of a bucket: its connection was closed.
var errWatchClosed = errors.New("watch was closed")

// Consuming: how many messages are asked for at once, and how soon it is noticed that the server has forgotten
// a consumer, as it does when it restarts.
const (
	prefetch      = 2000
	pullExpiry    = 10 * time.Second
	feedHeartbeat = time.Second
	// feedInactive is how long the server keeps the consumer of a leader that has gone.
	feedInactive = 30 * time.Second
)

// feeds is what a term reads live.
type feeds struct {
	stops     []func()
	followers []func(context.Context) error
}

func (f *feeds) stop() {
	for _, stop := range f.stops {
		stop()
	}
}

// follow reads a stream in order, headers only. The handler may block; that holds the server back.
func (t *term) follow(ctx context.Context, stream string, from uint64, handle func(jetstream.Msg)) (func(), error) {
	c, err := t.Bus.JS.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1), HeadersOnly: true, InactiveThreshold: feedInactive,
	})
	if err != nil {
		return nil, fmt.Errorf("follow %s from %d: %w", stream, from, err)
	}
	onError := func(_ jetstream.ConsumeContext, err error) {
		t.Logger.DebugContext(ctx, "consumer was interrupted", slog.String("stream", stream), slog.Any(logging.Error, err))
	}
	running, err := c.Consume(handle, jetstream.PullMaxMessages(prefetch), jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(feedHeartbeat), jetstream.ConsumeErrHandler(onError))
	if err != nil {
		return nil, fmt.Errorf("follow %s from %d: %w", stream, from, err)
	}
	return func() {
		running.Stop()
		<-running.Closed()
	}, nil
}

// followQueue parses on the consumer's goroutine and leaves the rest to the loop.
func (t *term) followQueue(ctx context.Context) (func(), error) {
	return t.follow(ctx, streams.Queue, 1, func(m jetstream.Msg) {
		select {
		case t.queued <- parseQueued(m):
		case <-ctx.Done():
		}
	})
}

func parseQueued(m jetstream.Msg) queued {
	meta, err := m.Metadata()
	if err != nil {
		return queued{poison: err} // a message of a consumer always has it
	}
	out := queued{Request: admission.Request{Seq: meta.Sequence.Stream}}
	if epoch, ok := streams.BarrierEpoch(m.Subject()); ok {
		out.barrier = epoch
		return out
	}
	q, err := execution.ParseQueued(m.Subject(), m.Headers())
	if err != nil {
		out.poison = err
		return out
	}
	if out.ID, out.poison = parseID(q.ID); out.poison == nil {
		_, out.poison = streams.ExecutionSubject(q.Action.Pack, q.Action.Name, q.ID) // where its state is
	}
	out.Queue = admission.Queue{Action: q.Action, Key: q.Key}
	out.Attempt, out.At, out.Pool = q.Attempt, meta.Timestamp, poolOf(q.Pool)
	if err := setTerms(&out.Request, q); err != nil {
		out.poison = err
	}
	return out
}

// priorities are the names of priorities in messages.
var priorities = map[streams.Priority]admission.Priority{
	streams.PriorityHigh: admission.High, streams.PriorityNormal: admission.Normal, "": admission.Normal, streams.PriorityLow: admission.Low,
}

// setTerms takes over what the action and the requester said of admission.
func setTerms(r *admission.Request, q execution.Queued) (err error) {
	r.Policy.Limit, r.PackLimit, r.Reject, r.Priority = q.Limit, q.PackLimit, q.Reject, priorities[q.Priority]
	if r.Timeout, err = timeoutOf(q.QueueTimeoutSeconds); err != nil {
		return err
	}
	if q.Rate != "" {
		r.Policy.Rate, err = pack.ParseRate(q.Rate)
	}
	return err
}

// errTimeout is returned for a queue timeout that is no time.
var errTimeout = errors.New("queue timeout is out of range")

func timeoutOf(seconds float64) (time.Duration, error) {
	if !(seconds >= 0 && seconds <= math.MaxInt64/float64(time.Second)/2) { // NaN is neither
		return 0, fmt.Errorf("%w: %g s", errTimeout, seconds)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// poolOf replaces a pool that no subject can name, so that its executions run somewhere rather than nowhere.
func poolOf(name string) string {
	if _, err := streams.Token(name); err != nil {
		return streams.DefaultPool
	}
	return name
}

func (t *term) followFacts(ctx context.Context, from uint64) (func(), error) {
	return t.follow(ctx, streams.Executions, from, func(m jetstream.Msg) {
		head, err := execution.ParseHead(m.Subject(), m.Headers())
		if err != nil {
			t.Logger.WarnContext(ctx, "fact not understood", slog.String("subject", m.Subject()), slog.Any(logging.Error, err))
			return
		}
		select {
		case t.heads <- head:
		case <-ctx.Done():
		}
	})
}

// watch reads all entries of a bucket and gives a follower that goes on from there. Handle runs on the
// caller's goroutine first, and on the loop later.
func (t *term) watch(ctx context.Context, bucket string, handle func(jetstream.KeyValueEntry)) (func(context.Context) error, func(), error) {
	kv, err := t.Bus.JS.KeyValue(ctx, bucket)
	if err != nil {
		return nil, nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("watch bucket %s: %w", bucket, err)
	}
	stop := func() { _ = w.Stop() } // it has ended by itself when its context has
	for {
		select {
		case <-ctx.Done():
			stop()
			return nil, nil, context.Cause(ctx)
		case e, open := <-w.Updates():
			switch {
			case !open:
				stop()
				return nil, nil, fmt.Errorf("watch bucket %s: %w", bucket, errWatchClosed)
			case e == nil: // all there was
				return func(ctx context.Context) error { return t.keepWatching(ctx, bucket, w, handle) }, stop, nil
			}
			handle(e)
		}
	}
}

func (t *term) keepWatching(ctx context.Context, bucket string, w jetstream.KeyWatcher, handle func(jetstream.KeyValueEntry)) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, open := <-w.Updates():
			if !open {
				return fmt.Errorf("watch bucket %s: %w", bucket, errors.Join(errWatchClosed, context.Cause(ctx)))
			}
			if e == nil {
				continue
			}
			if err := t.do(ctx, func() { handle(e) }); err != nil {
				return err
			}
		}
	}
}
