package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schedule"
)

const (
	// longestWait bounds a sleep, so that a clock that was set is noticed.
	longestWait = time.Minute
	// asleep is how long a pause between two looks must be for the machine to have been suspended: what came
	// meanwhile was missed.
	asleep = 2 * longestWait
	// handover is how late a tick may be at the start and still be on time: another copy has just stopped.
	handover = time.Second
	// retryAfter is the pause after a tick could not be published.
	retryAfter = time.Second
)

// timer is a trigger with a timer.
type timer struct {
	trigger pack.Ref
	spec    string // what the ticks follow from
	ticks   schedule.Schedule
	policy  pack.CatchUp
	payload json.RawMessage

	handled  time.Time
	revision uint64 // of its record
}

// keeper is the active copy's timers. It belongs to one goroutine.
type keeper struct {
	*Service
	records *records
	timers  map[pack.Ref]*timer
	watched time.Time // since when somebody watches without a break
	looked  time.Time
}

// keepTime publishes ticks until ctx ends.
func (s *Service) keepTime(ctx context.Context, r *records) error {
	now := s.Clock.Now()
	k := &keeper{Service: s, records: r, timers: map[pack.Ref]*timer{}, watched: now.Add(-handover), looked: now}
	s.Logger.DebugContext(ctx, "timers started")
	defer s.Logger.DebugContext(ctx, "timers stopped")
	var adopted *definitions.Snapshot
	for {
		snap := s.snapshot.Load()
		next, err := k.round(ctx, snap, snap != adopted)
		if err != nil {
			s.Logger.WarnContext(ctx, "timers are late", slog.Any(logging.Error, err), slog.Duration("retry_in", retryAfter))
		} else {
			adopted = snap
		}
		if err := s.awaitNext(ctx, next); err != nil {
			return err
		}
	}
}

func (s *Service) awaitNext(ctx context.Context, next time.Time) error {
	due, stop := s.Clock.At(next)
	defer stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.changed:
	case <-due:
	}
	return nil
}

// round publishes what is due and tells when to look again.
func (k *keeper) round(ctx context.Context, snap *definitions.Snapshot, isNew bool) (time.Time, error) {
	now := k.Clock.Now()
	if now.Sub(k.looked) > asleep {
		k.watched = now.Add(-handover)
	}
	k.looked = now
	if isNew {
		if err := k.adopt(ctx, snap, now); err != nil {
			return now.Add(retryAfter), err
		}
	}
	look := now.Add(longestWait)
	var errs []error
	for _, t := range k.timers {
		if err := k.serve(ctx, t, now); err != nil {
			errs = append(errs, err)
			look = earlier(look, now.Add(retryAfter))
		}
		if next := t.ticks.Next(later(t.handled, now)); !next.IsZero() {
			look = earlier(look, next)
		}
	}
	return look, errors.Join(errs...)
}

// adopt takes over a new set of definitions. A timer that goes on as it was keeps its place.
func (k *keeper) adopt(ctx context.Context, snap *definitions.Snapshot, now time.Time) error {
	timers := map[pack.Ref]*timer{}
	for ref, trigger := range snap.Triggers {
		if trigger.Spec.Timer == nil {
			continue
		}
		t, err := newTimer(ref, *trigger.Spec.Timer)
		if err != nil {
			k.Logger.ErrorContext(ctx, "timer left out", slog.String(logging.Trigger, ref.String()), slog.Any(logging.Error, err))
			continue
		}
		if old := k.timers[ref]; old != nil && old.spec == t.spec {
			t.handled, t.revision = old.handled, old.revision
		} else if err := k.begin(ctx, t, earlier(snap.Packs[trigger.Pack].UpdatedAt, now)); err != nil {
			return err
		}
		timers[ref] = t
	}
	k.timers = timers
	return k.records.forget(ctx, func(key string) bool {
		ref, err := pack.ParseRef(key)
		return err == nil && timers[ref] != nil
	})
}

func newTimer(ref pack.Ref, spec pack.Timer) (*timer, error) {
	s := schedule.Spec{Cron: spec.Cron, Every: time.Duration(spec.Every), Timezone: spec.Timezone}
	if spec.At != nil {
		s.At = *spec.At
	}
	ticks, err := schedule.Parse(s)
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%s|%s|%s|%s", s.Cron, s.Every, s.At.UTC().Format(time.RFC3339Nano), s.Timezone)
	return &timer{trigger: ref, spec: id, ticks: ticks, policy: spec.CatchUp, payload: spec.Payload}, nil
}

// begin finds where a timer goes on: behind what its record says, or at its installation.
func (k *keeper) begin(ctx context.Context, t *timer, installed time.Time) error {
	rec, revision, err := k.records.read(ctx, t.trigger)
	if err != nil {
		return err
	}
	if t.revision = revision; rec.Spec == t.spec {
		t.handled = rec.Handled
		return nil
	}
	return k.note(ctx, t, installed)
}

// serve publishes the ticks of a timer that are due.
func (k *keeper) serve(ctx context.Context, t *timer, now time.Time) error {
	ticks := due(t.ticks, t.policy, t.handled, k.watched, now)
	for i, at := range ticks {
		if err := k.publish(ctx, t, at); err != nil {
			return err
		}
		if last := i == len(ticks)-1; last || i%100 == 99 {
			if err := k.note(ctx, t, at); err != nil {
				return err
			}
		}
	}
	if skipped := len(ticks) == 0 && t.handled.Before(k.watched) && len(latest(t.ticks, t.handled, k.watched)) > 0; skipped {
		return k.note(ctx, t, k.watched)
	}
	return nil
}

// note records that all ticks up to at are handled.
func (k *keeper) note(ctx context.Context, t *timer, at time.Time) error {
	revision, err := k.records.write(ctx, t.trigger, record{Spec: t.spec, Handled: at}, t.revision)
	if errors.Is(err, errElsewhere) {
		return errors.Join(err, k.follow(ctx, t))
	}
	if err != nil {
		return err
	}
	t.handled, t.revision = at, revision
	return nil
}

// follow takes over what another copy has recorded. Whether this one may go on is up to the lease.
func (k *keeper) follow(ctx context.Context, t *timer) error {
	rec, revision, err := k.records.read(ctx, t.trigger)
	if err != nil {
		return err
	}
	t.revision = revision
	if rec.Spec == t.spec {
		t.handled = later(t.handled, rec.Handled)
	}
	return nil
}

func (k *keeper) publish(ctx context.Context, t *timer, at time.Time) error {
	trigger := t.trigger.String()
	payload, err := payloadOf(t, at)
	if err != nil {
		return fmt.Errorf("timer %s: payload: %w", trigger, err)
	}
	id, err := event.Publish(ctx, k.Bus.JS, event.New{
		ID: event.DeriveID("timer", trigger, at.UTC().Format(time.RFC3339Nano)), Trigger: trigger,
		Payload: payload, Source: "timer:" + trigger, Time: at,
	})
	if errors.Is(err, event.ErrDuplicate) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("timer %s: %w", trigger, err)
	}
	k.ticks.WithLabelValues(trigger).Inc()
	k.Logger.DebugContext(ctx, "timer ticked", slog.String(logging.Trigger, trigger), slog.String(logging.EventID, id), slog.Time("tick", at))
	return nil
}

// payloadOf is the timer's own payload and scheduled_at, when the tick was due.
func payloadOf(t *timer, at time.Time) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	if len(t.payload) > 0 {
		if err := json.Unmarshal(t.payload, &fields); err != nil {
			return nil, err
		}
	}
	if _, own := fields["scheduled_at"]; !own {
		fields["scheduled_at"] = json.RawMessage(`"` + at.UTC().Format(time.RFC3339Nano) + `"`)
	}
	return json.Marshal(fields)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
