package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// rebuild fills the machine from the streams. The order matters: the marker (see newTerm) is on RUNS first, so
// that nothing more is dispatched by others; what RUNS holds then is read before the facts, since a runner
// claims before it takes a message off RUNS; QUEUE is read up to a mark that was published after all of that,
// so whoever was dispatched stands before it; and the facts that are read are no older than that mark, while
// those that come later are followed.
func (t *term) rebuild(ctx context.Context) (*feeds, error) {
	f := &feeds{}
	dispatched, err := t.readRuns(ctx)
	if err != nil {
		return f, err
	}
	if _, err := t.Bus.JS.Publish(ctx, streams.BarrierSubject(t.epoch), nil, jetstream.WithExpectStream(streams.Queue)); err != nil {
		return f, fmt.Errorf("publish mark: %w", err)
	}
	last, err := t.lastFact(ctx)
	if err != nil {
		return f, err
	}
	heads := t.newHeadReader(ctx, last, dispatched)
	if err := errors.Join(t.readQueue(ctx, f, heads), heads.finish()); err != nil {
		return f, err
	}
	t.restoreAll(ctx, heads)
	if err := t.readRates(ctx); err != nil {
		return f, err
	}
	return f, t.openFeeds(ctx, f, last)
}

// readQueue queues everything up to this leader's mark and goes on following QUEUE. The states of what it queues
// are read meanwhile.
func (t *term) readQueue(ctx context.Context, f *feeds, heads *headReader) error {
	stop, err := t.followQueue(ctx)
	if err != nil {
		return err
	}
	f.stops = append(f.stops, stop)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-t.queued:
			t.onQueued(ctx, m)
			switch {
			case m.barrier == t.epoch:
				return nil
			case m.barrier == 0 && m.poison == nil:
				heads.add(admission.Place{ID: m.ID, Queue: m.Queue})
			}
		}
	}
}

// lastFact gives the sequence that EXECUTIONS has reached. The stream's leader says it.
func (t *term) lastFact(ctx context.Context) (uint64, error) {
	stream, err := t.Bus.JS.Stream(ctx, streams.Executions)
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", streams.Executions, err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// restoreAll puts everybody of whom there is more to know than the request of a first attempt in their places.
func (t *term) restoreAll(ctx context.Context, heads *headReader) {
	for id, head := range heads.moved {
		if p, ok := t.state.Find(id); ok {
			t.restore(ctx, p, head, heads.dispatched[id])
		}
	}
}

func (t *term) restore(ctx context.Context, p admission.Place, head *execution.Head, dispatched bool) {
	now := time.Now()
	switch {
	case head == nil: // see settle
		t.onEnd(p.ID, p.Attempt, now)
		return
	case head.Status != streams.Requested:
		t.onHead(ctx, *head)
		return
	case head.Attempt > 1:
		t.onHead(ctx, *head)
	}
	if dispatched && t.state.Dispatch(p.ID, now) {
		t.dues.add(now.Add(t.pace.claim), due{kind: dueClaim, id: p.ID})
	}
}

// openFeeds begins to follow the facts after those that were read, runners and controls.
func (t *term) openFeeds(ctx context.Context, f *feeds, last uint64) error {
	stop, err := t.followFacts(ctx, last+1)
	if err != nil {
		return err
	}
	f.stops = append(f.stops, stop)
	for bucket, handle := range map[string]func(context.Context, jetstream.KeyValueEntry){
		streams.BucketRunners: t.onRunnerEntry, streams.BucketQueues: t.onControl,
	} {
		follower, stop, err := t.watch(ctx, bucket, func(e jetstream.KeyValueEntry) { handle(ctx, e) })
		if err != nil {
			return err
		}
		f.stops, f.followers = append(f.stops, stop), append(f.followers, follower)
	}
	return nil
}
