package pack

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/attune/attune/streams"
)

// Retry says when an attempt of an action's execution that ended badly is followed by another.
type Retry struct {
	Attempts int              `json:"attempts"`        // in all, the first included; 2 to MaxAttempts
	Delay    Duration         `json:"delay,omitempty"` // before the second attempt
	Backoff  Backoff          `json:"backoff,omitempty"`
	MaxDelay Duration         `json:"max_delay,omitempty"` // 0: no bound
	Jitter   float64          `json:"jitter,omitempty"`    // 0 to 1
	On       []streams.Status `json:"on,omitempty"`        // failed, timed_out, lost; nil means DefaultRetryOn
	Order    RetryOrder       `json:"order,omitempty"`
}

// maxBackoff bounds what a delay is multiplied by.
const maxBackoff = 1000

// MaxAttempts is the most attempts that an execution may have.
const MaxAttempts = 100

// RetryOrder says where the next attempt stands.
type RetryOrder string

// The orders of retries.
const (
	RetryYield RetryOrder = "yield" // it gives the slot back and queues up again when the delay is over; the default
	RetryHold  RetryOrder = "hold"  // it keeps the slot, so that nobody behind it passes
)

// defaultRetryOn leaves out lost: what a lost runner had done is not known.
var defaultRetryOn = []streams.Status{streams.Failed, streams.TimedOut}

// Wire gives the policy in the form in which it travels with an execution; nil for nil.
func (r *Retry) Wire() *streams.Retry {
	if r == nil {
		return nil
	}
	on := r.On
	if len(on) == 0 {
		on = defaultRetryOn
	}
	return &streams.Retry{
		Attempts: r.Attempts, DelaySeconds: time.Duration(r.Delay).Seconds(), Backoff: float64(r.Backoff),
		MaxDelaySeconds: time.Duration(r.MaxDelay).Seconds(), Jitter: r.Jitter, On: slices.Clone(on), Hold: r.Order == RetryHold,
	}
}

// Backoff is what each further delay is multiplied by. In a file it is a number from 1 on, or "constant" (1) or
// "exponential" (2). 0 means 1.
type Backoff float64

// UnmarshalJSON reads a number or a word.
func (b *Backoff) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"constant"`:
		*b = 1
		return nil
	case `"exponential"`:
		*b = 2
		return nil
	}
	var n float64
	if err := json.Unmarshal(data, &n); err != nil {
		return fmt.Errorf("backoff: a number, constant or exponential: %w", err)
	}
	*b = Backoff(n)
	return nil
}
