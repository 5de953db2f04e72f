package scheduler

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/streams"
)

// removeTogether is how many deletions are under way at once.
const removeTogether = 8

// removeAll removes queue messages whose executions have ended, by sequence, so that a message which somebody
// put there later is not touched. What a leader leaves undone the next one finds.
func (t *term) removeAll(ctx context.Context) error {
	queue, err := t.Bus.JS.Stream(ctx, streams.Queue)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", streams.Queue, err)
	}
	for {
		r, err := t.remove.take(ctx)
		if err != nil {
			return err
		}
		failpoint.Hit(failpoint.SchedulerEnded)
		if r.below != 0 {
			t.removing(ctx, func() error { return queue.Purge(ctx, jetstream.WithPurgeSequence(r.below)) })
		}
		t.removeEach(ctx, queue, r.each)
		failpoint.Hit(failpoint.SchedulerRemoved)
	}
}

// removeEach deletes messages one by one. When they are many, somebody before them may only seem to stay: those
// whose message is not in the stream any longer are forgotten.
func (t *term) removeEach(ctx context.Context, queue jetstream.Stream, seqs []uint64) {
	var g errgroup.Group
	g.SetLimit(removeTogether)
	for _, seq := range seqs {
		g.Go(func() error {
			t.removing(ctx, func() error { return queue.DeleteMsg(ctx, seq) })
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	if len(seqs) < purgeFrom {
		return
	}
	if info, err := queue.Info(ctx); err == nil { // else it is asked for the next time
		t.remove.forget(info.State.FirstSeq)
	}
}

// removing tries until the messages are gone or the term is over, which whoever asks finds out by himself.
func (t *term) removing(ctx context.Context, remove func() error) {
	_ = t.insist(ctx, "remove queue messages", func() error {
		if err := remove(); !isGone(err) {
			return err
		}
		return nil
	})
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
