package lifecycle

import (
	"context"
	"time"
)

// Pause waits for so long, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// UntilBeat is the time until the next whole multiple of an interval. What is done now and then, and waits for this each
// time, is done together with whatever else is done as often: a machine at rest is woken once for all of it.
func UntilBeat(interval time.Duration) time.Duration {
	now := time.Now()
	return now.Truncate(interval).Add(interval).Sub(now)
}
