package scheduler

import (
	"context"
	"errors"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/streams"
)

// requeuers is how many next attempts are put in line at once.
const requeuers = 4

// requeueAll puts next attempts in line when their delay is over. The message of the attempt before stays in QUEUE
// until that of the next one is there: a leader that dies in between leaves an execution that QUEUE still knows.
func (t *term) requeueAll(ctx context.Context) error {
	return handOver(ctx, t.requeue, requeuers, func(ctx context.Context, a admission.Admission) error {
		return t.insist(ctx, "put the next attempt in line", func() error { return t.requeueOne(ctx, a) })
	})
}

func (t *term) requeueOne(ctx context.Context, a admission.Admission) error {
	st, err := t.facts.Last(ctx, a.Queue.Action.String(), a.ID.String())
	if errors.Is(err, execution.ErrNotFound) || err == nil && (st.Status != streams.Requested || st.Attempt != a.Attempt) {
		return nil // it was canceled meanwhile
	}
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.SchedulerDue)
	_, err = t.facts.Enqueue(ctx, st.Fact)
	failpoint.Hit(failpoint.SchedulerRequeued)
	return err
}
