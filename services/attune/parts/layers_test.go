package parts_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/services/attune/parts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLayers(fail context.CancelCauseFunc) *parts.Layers {
	return &parts.Layers{Logger: slog.New(slog.DiscardHandler), Fail: fail}
}

func TestLayersStopFromTheTopDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLayers(func(err error) { t.Errorf("failed: %v", err) })
		var stopped []string
		ctx, cancel := context.WithCancel(t.Context())
		for _, name := range []string{"bottom", "middle", "top"} {
			l.Closing(ctx, name, func() { stopped = append(stopped, name) })
		}
		cancel() // what started them may end before they do
		synctest.Wait()
		if len(stopped) != 0 {
			t.Fatalf("stopped with their starter: %v", stopped)
		}
		if err := l.Stop(); err != nil {
			t.Fatal(err)
		}
		if want := []string{"top", "middle", "bottom"}; !slices.Equal(stopped, want) {
			t.Errorf("stopped %v, want %v", stopped, want)
		}
	})
}

func TestAServiceThatFailsIsToldAtOnceAndAgainAtTheEnd(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	told := make(chan error, 1)
	l := newLayers(func(err error) { told <- err })
	l.Closing(t.Context(), "bottom", func() {})
	l.Add(t.Context(), lifecycle.Named{Name: "top", Service: lifecycle.Func(func(context.Context) error { return broken })})
	if err := <-told; !errors.Is(err, broken) {
		t.Errorf("told %v", err)
	}
	if err := l.Stop(); !errors.Is(err, broken) {
		t.Errorf("at the end %v", err)
	}
}
