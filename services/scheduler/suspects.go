package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// suspect is an execution that has not gone on as expected.
type suspect struct {
	place  admission.Place
	orphan bool  // it was requested but not queued; otherwise it was dispatched but not claimed
	level  uint8 // how often it was looked at
}

// checkSuspects finds out what has become of suspects and tells the loop.
func (t *term) checkSuspects(ctx context.Context) error {
	for {
		suspects, err := t.suspects.take(ctx, maxSubjects)
		if err != nil {
			return err
		}
		unclaimed := suspects[:0:0]
		for _, s := range suspects {
			if s.orphan {
				t.adopt(ctx, s)
				continue
			}
			unclaimed = append(unclaimed, s)
		}
		if err := t.checkUnclaimed(ctx, unclaimed); err != nil {
			return err
		}
	}
}

// adopt queues an execution whose requester died after the fact.
func (t *term) adopt(ctx context.Context, s suspect) {
	st, err := t.facts.Find(ctx, s.place.ID.String())
	if errors.Is(err, execution.ErrNotFound) || err == nil && st.Status != streams.Requested {
		return
	}
	if err == nil && st.NotBefore != nil && time.Until(*st.NotBefore) > 0 { // its delay is not over
		s.place.Attempt = st.Attempt
		t.adoptAt(ctx, s, *st.NotBefore)
		return
	}
	if err == nil {
		_, err = t.facts.Enqueue(ctx, st.Fact)
	}
	log := t.Logger.With(slog.String(logging.ExecutionID, s.place.ID.String()))
	if err == nil {
		if st.NotBefore == nil {
			log.InfoContext(ctx, "execution queued for a requester that did not")
		}
		return
	}
	log.WarnContext(ctx, "orphaned execution not queued yet", slog.Any(logging.Error, err))
	t.adoptAt(ctx, s, time.Now().Add(t.pace.orphan))
}

// adoptAt looks at an orphan again, unless the term ends before that: the next one begins anew.
func (t *term) adoptAt(ctx context.Context, s suspect, at time.Time) {
	_ = t.do(ctx, func() { t.dues.add(at, due{kind: dueOrphan, id: s.place.ID, attempt: int32(s.place.Attempt)}) })
}

// checkUnclaimed reads RUNS first and then the facts: a runner claims before it takes the message off RUNS, so
// what is neither there nor claimed was lost. Who is there waits for a runner: in a long line that is nearly everybody,
// and their facts, of which the loop hears anyway, are not read.
func (t *term) checkUnclaimed(ctx context.Context, suspects []suspect) error {
	if len(suspects) == 0 {
		return nil
	}
	onRuns, err := t.onRuns(ctx, suspects)
	var heads map[admission.ID]execution.Head
	if err == nil {
		heads, err = t.lastHeads(ctx, missingOf(suspects, onRuns), 0)
	}
	var hopeless map[string]error
	if err == nil {
		hopeless, err = t.hopeless(ctx, suspects)
	}
	if err != nil {
		t.Logger.WarnContext(ctx, "unclaimed executions not checked", slog.Int("executions", len(suspects)), slog.Any(logging.Error, err))
		return t.do(ctx, func() { t.suspectAgain(suspects) })
	}
	return t.do(ctx, func() {
		for _, s := range suspects {
			t.settle(ctx, s, heads, onRuns[s.place.ID], hopeless[s.place.Pool])
		}
	})
}

// missingOf gives the suspects that are not on RUNS.
func missingOf(suspects []suspect, onRuns map[admission.ID]bool) (places []admission.Place) {
	for _, s := range suspects {
		if !onRuns[s.place.ID] {
			places = append(places, s.place)
		}
	}
	return places
}

func (t *term) suspectAgain(suspects []suspect) {
	at := time.Now().Add(t.pace.claim)
	for _, s := range suspects {
		t.dues.add(at, due{kind: dueClaim, id: s.place.ID, level: s.level})
	}
}

// settle runs on the loop. Unfit says why no living runner can run the suspect, if so.
func (t *term) settle(ctx context.Context, s suspect, heads map[admission.ID]execution.Head, onRuns bool, unfit error) {
	if p, ok := t.state.Find(s.place.ID); !ok || p.Phase != admission.Dispatched || p.Attempt != s.place.Attempt {
		return // it went on while it was looked at
	}
	now := time.Now()
	head, exists := heads[s.place.ID]
	switch {
	case onRuns && unfit != nil && s.level >= hopelessLevel:
		t.giveUp(s.place, unfit)
		t.suspectAgain([]suspect{s}) // should it not come to that
	case onRuns:
		level := min(s.level+1, maxClaimLevel)
		t.dues.add(now.Add(t.pace.claim<<level), due{kind: dueClaim, id: s.place.ID, level: level})
	case !exists: // its facts were deleted after its end, or the stream was lost; recovery sees to the latter
		t.onEnd(s.place.ID, s.place.Attempt, now)
	case head.Status != streams.Requested || head.Attempt != s.place.Attempt:
		t.onHead(ctx, head)
	default:
		t.dispatchAgain(ctx, s.place, now)
	}
}

func (t *term) dispatchAgain(ctx context.Context, p admission.Place, now time.Time) {
	t.Logger.WarnContext(ctx, "execution dispatched again", slog.String(logging.ExecutionID, p.ID.String()))
	t.dispatch.put(admission.Admission{ID: p.ID, Queue: p.Queue, Pool: p.Pool, Attempt: p.Attempt})
	t.dues.add(now.Add(t.pace.claim), due{kind: dueClaim, id: p.ID})
}
