package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// historian is what recovery asks of history.
type historian interface {
	Unfinished(ctx context.Context) ([]history.Unfinished, error)
	Execution(ctx context.Context, id string) (history.Execution, error)
}

// recover compares history with the streams at the start of a term, and once more when what was written just
// before has certainly reached history. An execution that history has not seen end and that has no facts was
// lost with the streams: it is requested again if it had not started, and ends as lost otherwise. One that has
// facts but no queue message is queued, or watched over with its runner.
func (t *term) recover(ctx context.Context) error {
	if t.history == nil {
		return nil
	}
	for _, pause := range []time.Duration{0, t.pace.recovery} {
		lifecycle.Pause(ctx, pause)
		if err := t.recoverInTheEnd(ctx); err != nil {
			return err
		}
	}
	return nil
}

// recoverInTheEnd tries until history answers.
func (t *term) recoverInTheEnd(ctx context.Context) error {
	pause := lifecycle.Pauses(500*time.Millisecond, 30*time.Second)
	for {
		err := t.recoverOnce(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		next := pause.NextBackOff()
		t.Logger.WarnContext(ctx, "history not compared with the streams yet", slog.Any(logging.Error, err), slog.Duration("retry_in", next))
		lifecycle.Pause(ctx, next)
	}
}

func (t *term) recoverOnce(ctx context.Context) error {
	all, err := t.history.Unfinished(ctx)
	if err != nil {
		return err
	}
	places, err := t.unknown(ctx, all)
	if err != nil {
		return err
	}
	for len(places) > 0 {
		n := min(len(places), maxSubjects)
		if err := t.recoverSome(ctx, places[:n]); err != nil {
			return err
		}
		places = places[n:]
	}
	return nil
}

// unknown gives those that this term does not know from QUEUE.
func (t *term) unknown(ctx context.Context, all []history.Unfinished) ([]admission.Place, error) {
	var places []admission.Place
	for _, u := range all {
		id, bad := parseID(u.ID)
		ref, wrong := pack.ParseRef(u.Action)
		if err := errors.Join(bad, wrong); err != nil {
			t.Logger.WarnContext(ctx, "unfinished execution passed over", slog.String(logging.ExecutionID, u.ID), slog.Any(logging.Error, err))
			continue
		}
		places = append(places, admission.Place{ID: id, Queue: admission.Queue{Action: ref}, Attempt: u.Attempt})
	}
	var missing []admission.Place
	err := t.do(ctx, func() {
		for _, p := range places {
			if _, known := t.state.Find(p.ID); !known && !t.state.HasEnded(p.ID, p.Attempt) {
				missing = append(missing, p)
			}
		}
	})
	return missing, err
}

func (t *term) recoverSome(ctx context.Context, places []admission.Place) error {
	heads, err := t.lastHeads(ctx, places, 0)
	if err != nil {
		return err
	}
	for _, p := range places {
		head, exists := heads[p.ID]
		switch {
		case !exists:
			err = t.recreate(ctx, p)
		case head.Status == streams.Requested:
			t.suspects.put(suspect{place: p, orphan: true})
		case execution.HoldsSlot(head.Status):
			err = t.do(ctx, func() { t.onHead(ctx, head) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recreate gives an execution whose facts are gone a fact again.
func (t *term) recreate(ctx context.Context, p admission.Place) error {
	known, err := t.history.Execution(ctx, p.ID.String())
	if err != nil {
		return err
	}
	fact := known.Fact()
	switch {
	case fact.Status == streams.Requested && fact.NotBefore != nil && time.Until(*fact.NotBefore) > 0:
		err = t.facts.Recreate(ctx, fact) // the feed of facts brings it here, and it is put in line when its time has come
	case fact.Status == streams.Requested:
		err = t.facts.Restore(ctx, fact)
	case execution.HoldsSlot(fact.Status):
		lost := lostFact(fact, time.Now().UTC())
		lost.Error.Message = "the streams were lost while it ran"
		_, err = t.facts.Append(ctx, execution.State{Fact: fact}, lost) // its parameters went with the stream: it is not repeated
	default:
		return nil // it has ended meanwhile
	}
	if errors.Is(err, execution.ErrStale) {
		return nil // somebody else was first
	}
	if err == nil {
		t.Logger.WarnContext(ctx, "execution recovered from history", slog.String(logging.ExecutionID, fact.ID), slog.String("was", string(fact.Status)))
	}
	return err
}
