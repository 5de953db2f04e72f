package rules

import (
	"context"
	"errors"
	"log/slog"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// togetherBytes is how many bytes the parameters of executions that are requested together may take.
const togetherBytes = 1 << 20

// requestAll requests the executions of a burst in order, and ends those in whose places they come.
func (s *Service) requestAll(ctx context.Context, b *burst) error {
	if err := s.requestWanted(ctx, b); err != nil {
		return err
	}
	return s.supersede(ctx, b)
}

// requestWanted requests all together when none of them can exist; one by one when that is refused, because some
// were requested before.
func (s *Service) requestWanted(ctx context.Context, b *burst) error {
	if together := b.requests(); s.store.Pays(len(together)) {
		err := s.facts.RequestNew(ctx, s.store, together)
		if err == nil {
			return nil
		}
		s.Logger.DebugContext(ctx, "executions are requested one by one", slog.Int("executions", len(together)), slog.Any(logging.Error, err))
	}
	for _, w := range b.wanted {
		err := s.request(ctx, w)
		if errors.Is(err, execution.ErrConflict) {
			b.decisions[w.decision].Rules[w.rule].Reason = "requested before, by an earlier version of the rule"
		} else if err != nil {
			return err
		}
	}
	return nil
}

// requests gives what may be requested together; nothing when some may be known, or all is too large.
func (b *burst) requests() []execution.Request {
	out := make([]execution.Request, 0, len(b.wanted))
	size := 0
	for _, w := range b.wanted {
		size += len(w.Parameters)
		if w.mayBeKnown || size > togetherBytes || len(out) == maxTogether {
			return nil
		}
		out = append(out, w.Request)
	}
	return out
}

// maxTogether is how many executions may be requested at once: one event can match many rules.
const maxTogether = 4 * maxBurst

// request requests one execution, however long that takes. An event that may have been decided before is looked
// up in history too: the bus forgets executions some time after their end.
func (s *Service) request(ctx context.Context, w wanted) error {
	if !w.mayBeKnown {
		_, err := s.facts.RequestFresh(ctx, w.Request)
		if err == nil || errors.Is(err, execution.ErrConflict) {
			return err
		}
		s.Logger.DebugContext(ctx, "execution is requested again", slog.String(logging.ExecutionID, w.ID), slog.Any(logging.Error, err))
	}
	return s.insist(ctx, "request execution", func() error {
		if w.mayBeKnown {
			done, err := s.isThrough(ctx, w)
			if err != nil || done {
				return err
			}
		}
		_, err := s.facts.Request(ctx, w.Request)
		if errors.Is(err, execution.ErrConflict) {
			return backoff.Permanent(err)
		}
		return err
	})
}

// isThrough tells whether an execution was requested before and needs nothing more. One that is still only requested
// may not stand in line: who requested it may have died in between, and it must not fall behind those of later events.
func (s *Service) isThrough(ctx context.Context, w wanted) (bool, error) {
	known, err := s.history.Exists(ctx, []string{w.ID})
	if err != nil || !known[w.ID] {
		return false, err
	}
	st, err := s.facts.Last(ctx, w.Action, w.ID)
	if errors.Is(err, execution.ErrNotFound) {
		return true, nil // it ended long ago, or the scheduler brings it back from history
	}
	return err == nil && st.Status != streams.Requested, err
}
