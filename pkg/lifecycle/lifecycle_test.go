package lifecycle_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/attune/attune/pkg/lifecycle"
)

var quiet = slog.New(slog.DiscardHandler)

func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAStopThatWasAskedForIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	began := lifecycle.Func(func(ctx context.Context) error { stop(); return untilDone(ctx) })
	err := lifecycle.Run(ctx, quiet, lifecycle.Named{Name: "a", Service: began}, lifecycle.Named{Name: "b", Service: lifecycle.Func(untilDone)})
	if err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestTheFirstFailureStopsTheOthersAndIsNamed(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	bad := lifecycle.Func(func(context.Context) error { return broken })
	err := lifecycle.Run(t.Context(), quiet, lifecycle.Named{Name: "bad", Service: bad}, lifecycle.Named{Name: "b", Service: lifecycle.Func(untilDone)})
	if !errors.Is(err, broken) || err.Error() != "bad: broken" {
		t.Errorf("run: %v", err)
	}
}

func TestAServiceThatStopsByItselfIsAFailure(t *testing.T) {
	t.Parallel()
	done := lifecycle.Func(func(context.Context) error { return nil })
	if err := lifecycle.Run(t.Context(), quiet, lifecycle.Named{Name: "a", Service: done}); !errors.Is(err, lifecycle.ErrStoppedEarly) {
		t.Errorf("run: %v", err)
	}
}
