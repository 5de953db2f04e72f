package scheduler

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// dismissers is how many waiting executions are ended at once: each costs a read and a write on disk.
const dismissers = 8

// dismissal is a waiting execution that is to end without having started.
type dismissal struct {
	admission.Admission
	status streams.Status
	class  string
	why    string // in words; "": as whyDismissed says of the class
}

// whyDismissed says the classes in words.
var whyDismissed = map[string]string{
	streams.ClassQueueFull:     "it could not start at once, and its action does not let it wait (on_full: reject)",
	streams.ClassQueueDraining: "its queue is draining: what was requested since then is refused",
	streams.ClassQueueTimeout:  "it waited longer to start than its action allows (queue_timeout)",
}

// dismissAll ends what may not wait, or has waited too long. Until the end is known the execution is on its way
// out: nobody admits it. What a leader leaves undone the next one decides again.
func (t *term) dismissAll(ctx context.Context) error {
	return handOver(ctx, t.dismiss, dismissers, func(ctx context.Context, d dismissal) error {
		return t.insist(ctx, "dismiss an execution", func() error { return t.dismissOne(ctx, d) })
	})
}

func (t *term) dismissOne(ctx context.Context, d dismissal) error {
	did, err := t.facts.Dismiss(ctx, d.Queue.Action.String(), d.ID.String(), d.Attempt, d.status, leaseKey,
		streams.Error{Class: d.class, Message: cmp.Or(d.why, whyDismissed[d.class])})
	if did {
		t.metrics.dismissed.WithLabelValues(d.class).Inc()
		t.Logger.DebugContext(ctx, "execution dismissed", slog.String(logging.ExecutionID, d.ID.String()), slog.String("class", d.class))
	}
	return err
}
