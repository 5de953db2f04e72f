package retention

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Policy bounds which logs are kept. A zero bounds nothing.
type Policy struct {
	Age   time.Duration `json:"age,omitempty"`   // since the execution ended
	Count int64         `json:"count,omitempty"` // so many of the newest
	Bytes int64         `json:"bytes,omitempty"` // as many of the newest as take so much in the store
}

// Policies are those of an installation.
type Policies struct {
	Logs    Policy            `json:"logs"`              // of all logs together
	Actions map[string]Policy `json:"actions,omitempty"` // of one action's, besides; its age takes the place of that of all
	History time.Duration     `json:"history,omitempty"` // of what is known of executions and events; 0: for ever
}

// ErrBadPolicy is returned for a policy that cannot be followed.
var ErrBadPolicy = errors.New("retention policy is not usable")

// Check refuses negative bounds, and a history that is to go before its logs.
func (p Policies) Check() error {
	var errs []error
	for _, one := range []Policy{p.Logs} {
		if one.Age < 0 || one.Count < 0 || one.Bytes < 0 {
			errs = append(errs, fmt.Errorf("%w: %s: want no negative bounds", ErrBadPolicy, one))
		}
	}
	if p.History < 0 {
		errs = append(errs, fmt.Errorf("%w: history is kept for %s: want a time, or 0 for ever", ErrBadPolicy, p.History))
	}
	if p.History > 0 && (p.Logs.Age == 0 || p.Logs.Age > p.History) {
		errs = append(errs, fmt.Errorf("%w: history is kept for %s and its logs for %s: want at least as long", ErrBadPolicy, Age(p.History), orEver(p.Logs.Age)))
	}
	return errors.Join(errs...)
}

func orEver(d time.Duration) string {
	if d == 0 {
		return "ever"
	}
	return Age(d)
}

// String gives the bounds as they are written: 30d, 1000 logs, 1GiB.
func (p Policy) String() string {
	var parts []string
	if p.Age > 0 {
		parts = append(parts, Age(p.Age))
	}
	if p.Count > 0 {
		parts = append(parts, strconv.FormatInt(p.Count, 10)+" logs")
	}
	if p.Bytes > 0 {
		parts = append(parts, Size(p.Bytes))
	}
	if len(parts) == 0 {
		return "for ever"
	}
	return strings.Join(parts, ", ")
}

const day = 24 * time.Hour

// Age writes a duration, whole days as such; "" for none.
func Age(d time.Duration) string {
	if d == 0 {
		return ""
	}
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := strings.TrimSuffix(d.String(), "m0s")
	if len(s) < len(d.String()) {
		s += "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}

// Size writes a number of bytes in the largest unit that does not round it.
func Size(n int64) string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return strconv.FormatInt(n, 10) + units[i]
}

// The names of the bounds, as rows and reports say which it was.
const (
	byAge   = "age"
	byCount = "count"
	byBytes = "bytes"
)

// says names a bound of a policy: "age 30d", or "age 30d of the action".
func (p Policy) says(bound string, own bool) string {
	s := bound + " "
	switch bound {
	case byAge:
		s += Age(p.Age)
	case byCount:
		s += strconv.FormatInt(p.Count, 10)
	case byBytes:
		s += Size(p.Bytes)
	}
	if own {
		s += " of the action"
	}
	return s
}
