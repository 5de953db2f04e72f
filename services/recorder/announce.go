package recorder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

const (
	// maxAnnounced is how many ends are announced before that is noted.
	maxAnnounced = 100
	// announceEvery is how often ends are looked for that nothing spoke of: those of a recorder that died.
	announceEvery = 30 * time.Second
	// maxShared is the most of an execution's parameters, and of its result, that the event of its end carries.
	maxShared = 256 << 10
)

// Ended is the payload of the event that an execution has ended.
type Ended struct {
	ID          string          `json:"id"`
	Action      string          `json:"action"`
	Status      streams.Status  `json:"status"`
	Attempt     int             `json:"attempt"`
	Rule        string          `json:"rule,omitempty"`
	Event       string          `json:"event,omitempty"`
	Runner      string          `json:"runner,omitempty"`
	RequestedAt time.Time       `json:"requested_at"`
	StartedAt   *time.Time      `json:"started_at,omitempty"`
	EndedAt     *time.Time      `json:"ended_at"`
	ExitCode    *int            `json:"exit_code,omitempty"`
	Signal      string          `json:"signal,omitempty"`
	Error       *streams.Error  `json:"error,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"` // left out when large
	Result      json.RawMessage `json:"result,omitempty"`     // left out when large
}

// announce makes events of the ends that the database holds as unannounced. The table is the list of what is
// to be done, so an end is announced however often a recorder dies, and the event's id makes twice once.
func (r *Recorder) announce(ctx context.Context) error {
	pause := lifecycle.Pauses(firstPause, longestPause)
	for ctx.Err() == nil {
		next := announceEvery
		if err := r.announceAll(ctx); err != nil && ctx.Err() == nil {
			next = pause.NextBackOff()
			r.Logger.WarnContext(ctx, "ends of executions are not announced yet", slog.Any(logging.Error, err), slog.Duration("retry_in", next))
			lifecycle.Pause(ctx, next)
			continue
		}
		pause.Reset()
		r.awaitEnd(ctx, next)
	}
	return context.Cause(ctx)
}

func (r *Recorder) awaitEnd(ctx context.Context, most time.Duration) {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-r.ended:
	case <-t.C:
	}
}

func (r *Recorder) announceAll(ctx context.Context) error {
	for {
		ended, err := r.history.Unannounced(ctx, maxAnnounced)
		if err != nil || len(ended) == 0 {
			return err
		}
		for _, e := range ended {
			if err := r.announceOne(ctx, e); err != nil {
				return err
			}
		}
		if err := r.history.Announced(ctx, ended); err != nil || len(ended) < maxAnnounced {
			return err
		}
	}
}

func (r *Recorder) announceOne(ctx context.Context, e history.Execution) error {
	payload, err := json.Marshal(endedPayload(e))
	if err != nil {
		return fmt.Errorf("announce end of execution %s: %w", e.ID, err)
	}
	_, err = event.Publish(ctx, r.Bus.JS, event.New{
		ID: EndedID(e.ID, e.Attempt), Trigger: EndedTrigger.String(), Payload: payload, Source: "recorder", Time: *e.EndedAt, Hops: e.Hops + 1,
	})
	if err != nil && !errors.Is(err, event.ErrDuplicate) {
		return fmt.Errorf("announce end of execution %s: %w", e.ID, err)
	}
	return nil
}

// EndedID gives the id of the event that an attempt of an execution has ended.
func EndedID(execution string, attempt int) string {
	return event.DeriveID(EndedTrigger.String(), execution, strconv.Itoa(attempt))
}

func endedPayload(e history.Execution) Ended {
	return Ended{
		ID: e.ID, Action: e.Action, Status: e.Status, Attempt: e.Attempt, Rule: e.Rule, Event: e.Event, Runner: e.Runner,
		RequestedAt: e.RequestedAt, StartedAt: e.StartedAt, EndedAt: e.EndedAt, ExitCode: e.ExitCode, Signal: e.Signal,
		Error: e.Error, Parameters: shared(e.Parameters), Result: shared(e.Result),
	}
}

func shared(doc json.RawMessage) json.RawMessage {
	if len(doc) > maxShared {
		return nil
	}
	return doc
}
