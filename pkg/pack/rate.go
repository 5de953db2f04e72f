package pack

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// ErrRate is returned for a rate that cannot be understood.
var ErrRate = errors.New("want COUNT/PERIOD, such as 10/m, 1/30s or 500/h")

// Bounds of a rate.
const (
	maxRateCount  = 1_000_000
	maxRatePeriod = 30 * 24 * time.Hour
)

// Rate bounds how many executions of an action start in a time: a token bucket that holds Burst tokens and gets
// Count of them in each Period. The zero value bounds nothing. It is comparable.
type Rate struct {
	Count  int
	Period time.Duration
	Burst  int  // at most so many at once; 0 means Count
	Action bool // one bucket for the action; otherwise each concurrency key has its own
}

// rateText is a rate as users write it.
var rateText = regexp.MustCompile(`^(\d{1,7})/(\d{0,7})(ms|s|m|h|d)(?: burst (\d{1,7}))?(?: per (action|key))?$`)

var rateUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
}

// ParseRate reads a rate such as "10/m", "1/30s", "10/m burst 1" or "10/m per action". It returns ErrRate.
func ParseRate(text string) (Rate, error) {
	m := rateText.FindStringSubmatch(text)
	if m == nil {
		return Rate{}, fmt.Errorf("rate %.60q: %w", text, ErrRate)
	}
	periods := 1
	if m[2] != "" {
		periods = number(m[2])
	}
	unit := rateUnits[m[3]]
	r := Rate{Count: number(m[1]), Burst: number(m[4]), Period: time.Duration(periods) * unit, Action: m[5] == "action"}
	switch {
	case r.Count < 1 || r.Count > maxRateCount:
		return Rate{}, fmt.Errorf("rate %.60q: count is not from 1 to %d: %w", text, maxRateCount, ErrRate)
	case periods < 1 || periods > int(maxRatePeriod/unit): // before the product, which may wrap
		return Rate{}, fmt.Errorf("rate %.60q: period is not from 1ms to 30d: %w", text, ErrRate)
	case m[4] != "" && (r.Burst < 1 || r.Burst > maxRateCount):
		return Rate{}, fmt.Errorf("rate %.60q: burst is not from 1 to %d: %w", text, maxRateCount, ErrRate)
	}
	return r, nil
}

// number reads digits that the pattern has bounded; 0 for none.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// String writes the rate as ParseRate reads it; "" for none.
func (r Rate) String() string {
	if r == (Rate{}) {
		return ""
	}
	text := strconv.Itoa(r.Count) + "/" + periodText(r.Period)
	if r.Burst != 0 {
		text += " burst " + strconv.Itoa(r.Burst)
	}
	if r.Action {
		text += " per action"
	}
	return text
}

func periodText(p time.Duration) string {
	for _, unit := range []string{"d", "h", "m", "s", "ms"} {
		size := rateUnits[unit]
		switch {
		case p == size:
			return unit
		case p%size == 0:
			return strconv.FormatInt(int64(p/size), 10) + unit
		}
	}
	return p.String() // no rate that was read has such a period
}

// MarshalText writes the rate for files and messages.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*r = Rate{}
		return nil
	}
	*r, err = ParseRate(string(text))
	return err
}
