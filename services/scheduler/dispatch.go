package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// Headers by which the server refuses a dispatch unless the leader's marker is the last one.
const (
	headerExpectedSequence = "Nats-Expected-Last-Subject-Sequence"
	headerExpectedSubject  = "Nats-Expected-Last-Subject-Sequence-Subject"
)

// dispatchAll hands admitted executions to the runners, in the order of admission.
func (t *term) dispatchAll(ctx context.Context) error {
	for {
		admitted, err := t.dispatch.take(ctx, bus.MaxBatch)
		if err != nil {
			return err
		}
		msgs := t.messages(ctx, admitted)
		if len(msgs) == 0 {
			continue
		}
		failpoint.Hit(failpoint.SchedulerAdmitted)
		if t.replicated {
			err = t.sendBatch(ctx, msgs)
		} else {
			err = t.sendPipelined(ctx, msgs)
		}
		if err != nil {
			return err
		}
		failpoint.Hit(failpoint.SchedulerDispatched)
	}
}

func (t *term) messages(ctx context.Context, admitted []admission.Admission) []*nats.Msg {
	msgs := make([]*nats.Msg, 0, len(admitted))
	for _, a := range admitted {
		m, err := t.message(a)
		if err != nil { // only a pool that no subject can name
			t.Logger.ErrorContext(ctx, "execution cannot be dispatched", slog.String(logging.ExecutionID, a.ID.String()), slog.Any(logging.Error, err))
			continue
		}
		msgs = append(msgs, m)
	}
	return msgs
}

func (t *term) message(a admission.Admission) (*nats.Msg, error) {
	id := a.ID.String()
	subject, err := streams.RunSubject(a.Pool, id)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(streams.Run{Version: streams.Version, ID: id, Action: a.Queue.Action.String(), Attempt: a.Attempt})
	if err != nil {
		return nil, fmt.Errorf("encode dispatch of %s: %w", id, err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(headerExpectedSequence, strconv.FormatUint(t.epoch, 10))
	m.Header.Set(headerExpectedSubject, streams.LeaderSubject)
	return m, nil
}

// sendPipelined publishes without waiting for acknowledgements, which one server takes; onUnsent hears of
// what was not stored.
func (t *term) sendPipelined(ctx context.Context, msgs []*nats.Msg) error {
	for _, m := range msgs {
		if _, err := t.js.PublishMsgAsync(m, jetstream.WithStallWait(dispatchTimeout)); err != nil {
			t.notSent(m, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// sendBatch publishes atomically, one batch at a time: servers with replicas refuse to check one subject for
// several publishes in flight. It tries until the outcome is known, so that later ones cannot pass.
func (t *term) sendBatch(ctx context.Context, msgs []*nats.Msg) error {
	return t.insist(ctx, "dispatch executions", func() error {
		_, err := t.Bus.PublishBatch(ctx, msgs)
		if streams.IsStale(err) {
			return backoff.Permanent(fmt.Errorf("dispatch: %w: %w", errFenced, err))
		}
		return err
	})
}

// onUnsent is told by the client of every pipelined publish that failed, on a goroutine of the connection.
func (l *leadership) onUnsent(_ jetstream.JetStream, m *nats.Msg, err error) {
	t := l.current.Load()
	if t == nil || m.Header.Get(headerExpectedSequence) != strconv.FormatUint(t.epoch, 10) {
		return // of a term that is over; the next one found out by itself
	}
	t.notSent(m, err)
}

func (t *term) notSent(m *nats.Msg, err error) {
	if streams.IsStale(err) {
		t.end(fmt.Errorf("dispatch: %w: %w", errFenced, err))
		return
	}
	_, text, bad := streams.RunTokens(m.Subject)
	id, wrong := parseID(text)
	if bad == nil && wrong == nil {
		t.unsent.put(id)
	}
}

// followUnsent has those looked after whose dispatch was not acknowledged: it may have been stored or not.
func (t *term) followUnsent(ctx context.Context) error {
	for {
		ids, err := t.unsent.take(ctx, inbox)
		if err != nil {
			return err
		}
		t.Logger.WarnContext(ctx, "dispatch not acknowledged", slog.Int("executions", len(ids)))
		err = t.do(ctx, func() {
			at := time.Now().Add(t.pace.unsent)
			for _, id := range ids {
				t.dues.add(at, due{kind: dueClaim, id: id})
			}
		})
		if err != nil {
			return err
		}
	}
}
