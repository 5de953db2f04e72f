package sensors

import (
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schedule"
)

// catchUpWindow is how far back catch_up: all reaches.
const catchUpWindow = 24 * time.Hour

// due lists the ticks to publish now, in order, out of those after handled. The ones up to watched came while
// nobody watched and are treated as the policy says; all that came since are due.
func due(s schedule.Schedule, policy pack.CatchUp, handled, watched, now time.Time) []time.Time {
	if watched.After(now) {
		watched = now
	}
	var missed []time.Time
	if handled.Before(watched) {
		missed = caughtUp(s, policy, handled, watched)
		handled = watched
	}
	return append(missed, between(s, handled, now)...)
}

func caughtUp(s schedule.Schedule, policy pack.CatchUp, from, to time.Time) []time.Time {
	switch policy {
	case pack.CatchUpNone:
		return nil
	case pack.CatchUpAll:
		return between(s, later(from, to.Add(-catchUpWindow)), to)
	case pack.CatchUpLast, "":
		return latest(s, from, to)
	}
	return nil
}

// between lists the ticks after from, up to and including to.
func between(s schedule.Schedule, from, to time.Time) (ticks []time.Time) {
	for t := s.Next(from); !t.IsZero() && !t.After(to); t = s.Next(t) {
		ticks = append(ticks, t)
	}
	return ticks
}

// latest gives the last tick after from, up to and including to. It looks at a growing part of the end, so
// that a second's timer is not counted through a year.
func latest(s schedule.Schedule, from, to time.Time) []time.Time {
	for _, window := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 32 * 24 * time.Hour, 400 * 24 * time.Hour, to.Sub(from)} {
		if ticks := between(s, later(from, to.Add(-window)), to); len(ticks) > 0 {
			return ticks[len(ticks)-1:]
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
