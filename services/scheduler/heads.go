package scheduler

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// headReaders is how many requests for last facts run at once during a rebuild.
const headReaders = 4

// headReader reads the states of executions, no older than a sequence, while more are being added. It keeps only
// what a machine does not know from the queue messages: in a long line nearly all have been requested and no more.
type headReader struct {
	t          *term
	ctx        context.Context // of its readers
	group      *errgroup.Group
	floor      uint64
	dispatched map[admission.ID]bool
	batch      []admission.Place // to be asked for together

	mu    sync.Mutex                       // guards the field below
	moved map[admission.ID]*execution.Head // nil: there is no fact
}

func (t *term) newHeadReader(ctx context.Context, floor uint64, dispatched map[admission.ID]bool) *headReader {
	r := &headReader{t: t, floor: floor, dispatched: dispatched, moved: map[admission.ID]*execution.Head{}}
	r.group, r.ctx = errgroup.WithContext(ctx)
	r.group.SetLimit(headReaders)
	return r
}

// add has the state of an execution read. It waits while many are being read.
func (r *headReader) add(p admission.Place) {
	r.batch = append(r.batch, p)
	if len(r.batch) == maxSubjects {
		r.flush()
	}
}

func (r *headReader) flush() {
	places := r.batch
	r.batch = nil
	if len(places) > 0 && r.ctx.Err() == nil {
		r.group.Go(func() error { return r.read(places) })
	}
}

func (r *headReader) read(places []admission.Place) error {
	heads, err := r.t.lastHeads(r.ctx, places, r.floor)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range places {
		head, exists := heads[p.ID]
		switch {
		case !exists:
			r.moved[p.ID] = nil
		case head.Status != streams.Requested || head.Attempt > 1 || r.dispatched[p.ID]:
			r.moved[p.ID] = &head
		}
	}
	return nil
}

// finish waits until all has been read.
func (r *headReader) finish() error {
	r.flush()
	return r.group.Wait()
}
