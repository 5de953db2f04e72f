package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/lifecycle"
)

func TestWhatIsInsistedOnIsRepeatedUntilItIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, tries, noted := time.Now(), 0, 0
		err := lifecycle.Insist(t.Context(), lifecycle.Pauses(time.Second, time.Minute), func(error, time.Duration) { noted++ }, func() error {
			if tries++; time.Since(began) < time.Hour { // longer than backoff would try by itself
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || noted != tries-1 || tries < 40 {
			t.Errorf("%v after %d tries, %d noted", err, tries, noted)
		}
	})
}

func TestInsistingEndsWithAFailureForGoodOrWithTheContext(t *testing.T) {
	t.Parallel()
	bad, stop := errors.New("bad"), errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	tries := 0
	insist := func(err error) error {
		return lifecycle.Insist(ctx, lifecycle.Pauses(time.Hour, time.Hour), nil, func() error { tries++; return err })
	}
	if err := insist(backoff.Permanent(bad)); !errors.Is(err, bad) || tries != 1 {
		t.Errorf("for good: %v after %d", err, tries)
	}
	cancel(stop)
	if err := insist(bad); !errors.Is(err, stop) || tries != 2 {
		t.Errorf("ended: %v after %d", err, tries)
	}
}
