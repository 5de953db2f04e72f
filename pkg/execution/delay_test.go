package execution

import (
	"testing"
	"time"

	"github.com/attune/attune/streams"
)

func TestDelaysGrowToTheirBound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy  streams.Retry
		attempt int
		chance  float64
		want    time.Duration
	}{
		{streams.Retry{}, 1, 0.5, 0},
		{streams.Retry{DelaySeconds: 2}, 5, 0.5, 2 * time.Second},
		{streams.Retry{DelaySeconds: 2, Backoff: 2}, 4, 0.5, 16 * time.Second},
		{streams.Retry{DelaySeconds: 2, Backoff: 2, MaxDelaySeconds: 10}, 4, 0.5, 10 * time.Second},
		{streams.Retry{DelaySeconds: 10, Jitter: 0.2}, 1, 0, 8 * time.Second},
		{streams.Retry{DelaySeconds: 10, Jitter: 0.2}, 1, 1, 12 * time.Second},
		{streams.Retry{DelaySeconds: 1, Backoff: 10}, 99, 0.5, 30 * 24 * time.Hour},
	} {
		if got := retryDelay(c.policy, c.attempt, c.chance); got != c.want {
			t.Errorf("%+v after attempt %d: %v, want %v", c.policy, c.attempt, got, c.want)
		}
	}
}
