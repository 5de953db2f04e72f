// Package schedule computes when a timer is due.
//
// It is pure: no clock, no goroutine. A Schedule gives the same answer to the same question on every
// machine for ever, so two copies of a service agree on every tick without talking to each other.
//
// Guarantees for local time (cron): a time that the clock skips in spring fires once, at the first instant
// after the gap; a time that the clock repeats in autumn fires once, the first time. An expression that
// matches every hour means elapsed time instead, and goes on through both hours.
// The time zones are compiled in: the machine needs none.
package schedule

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // machines without zone files
)

// MinEvery is the shortest interval of a timer.
const MinEvery = time.Second

// maxEvery keeps interval arithmetic far from the ends of time.Duration.
const maxEvery = 10 * 365 * 24 * time.Hour

// ErrInvalid is returned when a specification names no schedule.
var ErrInvalid = errors.New("not a valid schedule")

// Schedule gives the ticks of a timer.
type Schedule interface {
	// Next gives the first tick after the given time, in UTC, or the zero time when there is none.
	Next(after time.Time) time.Time
}

// Spec is a timer as its file says it. Exactly one of Cron, Every and At is set.
type Spec struct {
	Cron     string        // five fields, or one of @hourly, @daily, @weekly, @monthly, @yearly
	Every    time.Duration // ticks are the multiples of it since 1970-01-01T00:00:00Z
	At       time.Time     // once
	Timezone string        // IANA name, for Cron only; "" means UTC
}

// FieldError says which field of a timer is wrong. It matches ErrInvalid.
type FieldError struct {
	Field  string // the name in the timer's file: "cron", "every", "at" or "timezone"
	Reason string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Is makes every FieldError an ErrInvalid.
func (e *FieldError) Is(target error) bool { return target == ErrInvalid }

func invalid(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// Parse checks a specification. All its mistakes are in the error, each a FieldError.
func Parse(s Spec) (Schedule, error) {
	zone, zoneErr := loadZone(s.Timezone)
	if s.Timezone != "" && s.Cron == "" && zoneErr == nil {
		zoneErr = invalid("timezone", "goes with cron only: every and at name instants")
	}
	sched, err := parseKind(s, zone)
	if err := errors.Join(err, zoneErr); err != nil {
		return nil, err
	}
	return sched, nil
}

func parseKind(s Spec, zone *time.Location) (Schedule, error) {
	if n := count(s.Cron != "", s.Every != 0, !s.At.IsZero()); n != 1 {
		return nil, invalid("timer", "has %d of cron, every and at, want exactly one", n)
	}
	switch {
	case s.Cron != "":
		return parseCron(s.Cron, zone)
	case s.Every != 0:
		return parseEvery(s.Every)
	}
	return once(s.At.UTC()), nil
}

func count(set ...bool) (n int) {
	for _, b := range set {
		if b {
			n++
		}
	}
	return n
}

func loadZone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if name == "Local" {
		return time.UTC, invalid("timezone", "Local differs from machine to machine: use an IANA name such as Europe/Berlin")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC, invalid("timezone", "%.60q is not an IANA time zone such as Europe/Berlin", name)
	}
	return zone, nil
}

// interval ticks at the multiples of itself since the epoch, so that no start time needs remembering.
type interval time.Duration

func parseEvery(d time.Duration) (Schedule, error) {
	if d < MinEvery || d > maxEvery {
		return nil, invalid("every", "%s is out of the range %s to %s", d, MinEvery, maxEvery)
	}
	return interval(d), nil
}

func (i interval) Next(after time.Time) time.Time {
	since := after.Sub(time.Unix(0, 0))
	past := since % time.Duration(i)
	if past < 0 {
		past += time.Duration(i)
	}
	return after.UTC().Add(time.Duration(i) - past)
}

type once time.Time

func (o once) Next(after time.Time) time.Time {
	if at := time.Time(o); at.After(after) {
		return at
	}
	return time.Time{}
}
