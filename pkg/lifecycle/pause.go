package lifecycle

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
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

// Pauses are those between attempts, which grow from the first to the longest.
func Pauses(first, longest time.Duration) *backoff.ExponentialBackOff {
	p := backoff.NewExponentialBackOff()
	p.InitialInterval, p.MaxInterval = first, longest
	return p
}

// Insist repeats what has to be done before anything else may be, until it is done, fails for good (backoff.Permanent)
// or ctx ends.
func Insist(ctx context.Context, pauses backoff.BackOff, notify backoff.Notify, do func() error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, do() },
		backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(0), backoff.WithNotify(notify))
	return err
}

// UntilBeat is the time until the next whole multiple of an interval. What is done now and then, and waits for this each
// time, is done together with whatever else is done as often: a machine at rest is woken once for all of it.
func UntilBeat(interval time.Duration) time.Duration {
	now := time.Now()
	return now.Truncate(interval).Add(interval).Sub(now)
}
