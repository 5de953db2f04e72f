package rules

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/checkpoint"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// maxBurst is how many events, and how many executions, are decided together when so many are at hand.
const maxBurst = 100

// decideAll decides every event after the last recorded decision, for ever.
func (s *Service) decideAll(ctx context.Context) error {
	start, err := s.checkpoint(ctx)
	if err != nil {
		return err
	}
	stream, err := s.Bus.JS.Stream(ctx, streams.Events)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", streams.Events, err)
	}
	if s.once, err = s.Bus.JS.KeyValue(ctx, streams.BucketOnce); err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketOnce, err)
	}
	last := stream.CachedInfo().State.LastSeq
	if start > last+1 {
		s.Logger.WarnContext(ctx, "events stream is behind its decisions, deciding all of it", slog.Uint64("checkpoint", start), slog.Uint64("last", last))
		start = 1
	}
	s.sets = newRuleSets()
	s.Logger.InfoContext(ctx, "deciding events", slog.Uint64("from", start), slog.Uint64("to_catch_up", last))
	return s.decideFrom(ctx, start, last)
}

// checkpoint is the sequence of the first event without a recorded decision. Decisions are recorded in the
// order of the events, so the last one tells.
func (s *Service) checkpoint(ctx context.Context) (uint64, error) {
	at, err := checkpoint.Look(ctx, s.Bus.Conn)
	if err != nil {
		return 0, fmt.Errorf("read last decision: %w", err)
	}
	if at.Passed > 0 {
		s.Logger.WarnContext(ctx, "messages that are no decisions are passed over", slog.String("stream", streams.Decisions), slog.Int("messages", at.Passed))
	}
	return at.Event + 1, nil
}

// decideFrom decides events from a sequence on and records what was decided. Up to catchUp they may have been decided
// before by a copy that died. Decisions that were not recorded at the end are made again by the next copy, to the same ids;
// so are those of a term that ends because events may have been missed.
func (s *Service) decideFrom(ctx context.Context, start, catchUp uint64) error {
	g, ctx := errgroup.WithContext(ctx)
	arrived := make(chan jetstream.Msg, maxBurst) // and wait to be decided: the next burst
	u := newUnrecorded()
	g.Go(func() error {
		return s.Bus.Follow(ctx, streams.Events, start, func(m jetstream.Msg) {
			select {
			case arrived <- m:
			case <-ctx.Done():
			}
		})
	})
	g.Go(func() error { return s.decideBursts(ctx, arrived, u, catchUp) })
	g.Go(func() error { return s.recordAll(ctx, u.next) })
	return g.Wait()
}

// decideBursts decides events in bursts: all that have arrived, one when events are rare.
func (s *Service) decideBursts(ctx context.Context, arrived <-chan jetstream.Msg, u *unrecorded, catchUp uint64) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-u.room(arrived):
			b, err := s.gather(ctx, m, arrived, catchUp)
			if err != nil {
				return err
			}
			failpoint.Hit(failpoint.RulesDecided)
			if err := s.requestAll(ctx, b); err != nil {
				return err
			}
			failpoint.Hit(failpoint.RulesRequested)
			u.add(b.decisions)
		case <-u.due.C:
			u.late = true
		case u.ready() <- parcel{s.sets.pending, u.bursts}:
			s.sets.handedOver(time.Now())
			u.handedOver()
		}
	}
}

// burst is events that are decided together: their decisions, and the executions to request, both in the
// order of the events.
type burst struct {
	decisions  []decided
	wanted     []wanted
	superseded []superseded // to be ended when those are requested that take their places
}

// decided is a decision about an event.
type decided struct {
	streams.Decision
	asked int // rules
}

// reject decides that an event is not acceptable.
func (b *burst) reject(ev event.Event, why string) {
	b.decisions = append(b.decisions, decided{Decision: rejected(ev, why)})
}

// wanted is an execution that a rule wants.
type wanted struct {
	execution.Request
	decision, rule int  // whose wish it is: indexes into the decisions and the rules that they list
	mayBeKnown     bool // the event may have been decided before
}

// gather decides an event and those that wait behind it.
func (s *Service) gather(ctx context.Context, m jetstream.Msg, arrived <-chan jetstream.Msg, catchUp uint64) (*burst, error) {
	b := &burst{decisions: make([]decided, 0, min(1+len(arrived), maxBurst))}
	for {
		if err := s.decideMessage(ctx, b, m, catchUp); err != nil {
			return nil, err
		}
		if len(b.decisions) >= maxBurst || len(b.wanted) >= maxBurst {
			return b, nil
		}
		select {
		case m = <-arrived:
		default:
			return b, nil
		}
	}
}

func (s *Service) decideMessage(ctx context.Context, b *burst, m jetstream.Msg, catchUp uint64) error {
	msg, err := event.FromJetStream(m)
	if err != nil {
		return err
	}
	began := time.Now()
	ev, err := event.FromMessage(msg)
	if err != nil {
		b.reject(ev, err.Error())
	} else if err := s.decide(ctx, b, ev, msg.Sequence <= catchUp); err != nil {
		return err
	}
	s.metrics.decided(b.decisions[len(b.decisions)-1], time.Since(began))
	return nil
}

// insist repeats what must be done before anything else may be, until it is done or ctx ends: the order of the
// events is worth more than speed while the bus or the database is away.
func (s *Service) insist(ctx context.Context, what string, do func() error) error {
	notify := func(err error, wait time.Duration) {
		s.Logger.WarnContext(ctx, "decision is held up", slog.String("operation", what), slog.Any(logging.Error, err), slog.Duration("retry_in", wait))
	}
	if err := lifecycle.Insist(ctx, lifecycle.Pauses(20*time.Millisecond, 2*time.Second), notify, do); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// wants tells whether an execution is still to be requested.
func (b *burst) wants(id string) bool {
	return slices.ContainsFunc(b.wanted, func(w wanted) bool { return w.ID == id })
}

// split parts the executions of the decided events from those of the event that is being decided.
func (b *burst) split() (earlier, current []wanted) {
	n := slices.IndexFunc(b.wanted, func(w wanted) bool { return w.decision == len(b.decisions) })
	if n < 0 {
		return b.wanted, nil
	}
	return b.wanted[:n], slices.Clone(b.wanted[n:])
}
