package scheduler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// headReaders is how many requests for last facts run at once during a rebuild.
const headReaders = 4

// rebuild fills the machine from the streams. The order matters: the marker (see newTerm) is on RUNS first, so
// that nothing more is dispatched by others; what RUNS holds then is read before the facts, since a runner
// claims before it takes a message off RUNS; QUEUE is read up to a mark that was published after all of that,
// so whoever was dispatched stands before it; and the facts are read last, no older than that moment.
func (t *term) rebuild(ctx context.Context) (*feeds, error) {
	f := &feeds{}
	dispatched, err := t.readRuns(ctx)
	if err != nil {
		return f, err
	}
	ids, err := t.readQueue(ctx, f)
	if err != nil {
		return f, err
	}
	last, err := t.lastFact(ctx)
	if err != nil {
		return f, err
	}
	if err := t.readFacts(ctx, ids, last, dispatched); err != nil {
		return f, err
	}
	return f, t.openFeeds(ctx, f, last)
}

// readQueue queues everything up to this leader's mark and goes on following QUEUE.
func (t *term) readQueue(ctx context.Context, f *feeds) ([]admission.ID, error) {
	if _, err := t.Bus.JS.Publish(ctx, streams.BarrierSubject(t.epoch), nil, jetstream.WithExpectStream(streams.Queue)); err != nil {
		return nil, fmt.Errorf("publish mark: %w", err)
	}
	stop, err := t.followQueue(ctx)
	if err != nil {
		return nil, err
	}
	f.stops = append(f.stops, stop)
	var ids []admission.ID
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case m := <-t.queued:
			t.onQueued(ctx, m)
			switch {
			case m.barrier == t.epoch:
				return ids, nil
			case m.barrier == 0 && m.poison == nil:
				ids = append(ids, m.ID)
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

// readFacts reads the states of the queued, no older than a sequence, and puts each in its place.
func (t *term) readFacts(ctx context.Context, ids []admission.ID, floor uint64, dispatched map[admission.ID]bool) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(headReaders)
	var mu sync.Mutex // guards the machine while the readers fill it
	for len(ids) > 0 {
		n := min(len(ids), maxSubjects)
		mu.Lock()
		places := t.find(ids[:n])
		mu.Unlock()
		ids = ids[n:]
		g.Go(func() error {
			heads, err := t.lastHeads(gctx, places, floor)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range places {
				t.restore(ctx, p, heads, dispatched[p.ID])
			}
			return nil
		})
	}
	return g.Wait()
}

func (t *term) find(ids []admission.ID) []admission.Place {
	places := make([]admission.Place, 0, len(ids))
	for _, id := range ids {
		if p, ok := t.state.Find(id); ok {
			places = append(places, p)
		}
	}
	return places
}

func (t *term) restore(ctx context.Context, p admission.Place, heads map[admission.ID]execution.Head, dispatched bool) {
	now := time.Now()
	head, exists := heads[p.ID]
	switch {
	case !exists: // see settle
		t.onEnd(p.ID, p.Attempt, now)
	case head.Status != streams.Requested:
		t.onHead(ctx, head)
	case dispatched:
		t.state.Dispatch(p.ID, now)
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
