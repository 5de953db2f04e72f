package installer

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/attune/attune/pkg/pack"
)

// Packs have thousands of actions: only those of versions on their way are held whole.
func TestArchivesHoldPacksOnTheirWayAndWhatTheOthersAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := archives{js: w.bus.JS, temp: t.TempDir(), read: map[string]pack.Pack{}, asks: map[string]asks{}}
	in, archive := w.pack(files{"pack.yaml": "name: one\nversion: 1.0.0\n", "actions/a.yaml": "runtime: shell\nentry_point: a.sh\npool: far\n", "actions/a.sh": ""})
	w.put(in.Digest, archive)

	nowhere, cancel := context.WithCancel(t.Context()) // in which nothing can be read again
	cancel()
	for _, ctx := range []context.Context{t.Context(), nowhere} {
		if got, err := a.asked(ctx, in.Digest); err != nil || !slices.Equal(got.pools, []string{"far"}) {
			t.Fatalf("asks %v, %v", got, err)
		}
	}
	if _, err := a.pack(nowhere, in.Digest); !errors.Is(err, context.Canceled) {
		t.Errorf("a pack is held that was only asked about: %v", err)
	}
	for _, ctx := range []context.Context{t.Context(), nowhere} {
		if _, err := a.pack(ctx, in.Digest); err != nil {
			t.Errorf("a pack on its way: %v", err)
		}
	}
	a.keep(map[string]bool{in.Digest: false})
	if _, err := a.pack(nowhere, in.Digest); !errors.Is(err, context.Canceled) {
		t.Errorf("a pack is held that is not on its way any more: %v", err)
	}
	if _, err := a.asked(nowhere, in.Digest); err != nil {
		t.Errorf("what a version asks: %v", err)
	}
	a.keep(map[string]bool{})
	if _, err := a.asked(nowhere, in.Digest); !errors.Is(err, context.Canceled) {
		t.Errorf("what a version asks that is not there: %v", err)
	}
}
