package recorder_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/attune/attune/pkg/retention"
	"github.com/attune/attune/services/recorder"
)

// A recorder sweeps when it starts, when a policy has changed, and when it is asked to.
func TestARecorderSweepsLogs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ledger := retention.Ledger{DB: f.db}
	run := func(p retention.Policies) (stop func()) {
		r, err := recorder.New(recorder.Config{Bus: f.Bus, DB: f.db, Owner: "one", Retention: p, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("recorder: %v", err)
			}
		}
	}
	swept := func(why string) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for {
			st, _, err := ledger.Read(t.Context())
			if err == nil && st.Sweep != nil && st.Sweep.Why == why && !st.Sweep.EndedAt.IsZero() {
				if st.Sweep.Error != "" {
					t.Fatal(st.Sweep.Error)
				}
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no sweep because %s: %+v, %v", why, st.Sweep, err)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	stop := run(retention.Policies{Logs: retention.Policy{Age: time.Hour}})
	swept("it is time")
	if _, err := ledger.Ask(t.Context(), "user:me"); err != nil {
		t.Fatal(err)
	}
	swept("asked for by user:me")
	stop()
	stop = run(retention.Policies{Logs: retention.Policy{Age: 2 * time.Hour}})
	swept("a policy has changed")
	stop()
}
