package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// errNoScope is returned for a key of the bucket QUEUES that is no scope.
var errNoScope = errors.New("not an action, a pack or " + streams.ScopeAll)

// onControl takes in what operators said of a scope, or that they took it back.
func (t *term) onControl(ctx context.Context, e jetstream.KeyValueEntry) {
	var said streams.QueueControl
	var err error
	if e.Operation() == jetstream.KeyValuePut {
		err = json.Unmarshal(e.Value(), &said)
	}
	if err == nil && !t.state.SetControl(e.Key(), controlOf(said), time.Now()) {
		err = errNoScope
	}
	if err != nil {
		t.Logger.WarnContext(ctx, "control of a queue refused", slog.String(logging.Queue, e.Key()), slog.Any(logging.Error, err))
		return
	}
	t.Logger.InfoContext(ctx, "queue controlled", slog.String(logging.Queue, e.Key()), slog.Bool("paused", said.Paused),
		slog.Bool("draining", said.Draining), slog.Int("limit", said.Limit), slog.String("by", said.By))
}

func controlOf(said streams.QueueControl) admission.Control {
	c := admission.Control{Paused: said.Paused, Draining: said.Draining, DrainAfter: said.DrainAfter, Limit: said.Limit}
	if said.PausedUntil != nil {
		c.Until = *said.PausedUntil
	}
	return c
}
