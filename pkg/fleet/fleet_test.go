package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/fleet"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheFleetIsThoseWhoLive(t *testing.T) {
	t.Parallel()
	b := natstest.Connect(t, natstest.Start(t))
	kv, err := b.JS.KeyValue(t.Context(), streams.BucketRunners)
	if err != nil {
		t.Fatal(err)
	}
	f := fleet.New(b.JS, slog.New(slog.DiscardHandler))
	python := streams.Placement{Pool: "default", Runtimes: map[string]string{"python": ">=3.9"}}
	if err := f.Check(python); err != nil {
		t.Errorf("nothing is known yet: %v", err)
	}
	beat(t, kv, streams.RunnerInfo{Name: "r1", Pool: "default", Runtimes: []streams.Runtime{{Name: "python", Version: "3.8.20"}}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	defer func() { cancel(); <-done }()

	await(t, "r1 does not fit", func() bool { return errors.Is(f.Check(python), fleet.ErrNoRunner) })
	if text := f.Check(python).Error(); !strings.Contains(text, "r1 lacks python >=3.9 (has 3.8.20)") {
		t.Error(text)
	}
	if err := f.Check(streams.Placement{Pool: "gpu", Runtimes: python.Runtimes}); err != nil {
		t.Errorf("a pool without runners: %v", err)
	}
	beat(t, kv, streams.RunnerInfo{Name: "r2", Pool: "default", Runtimes: []streams.Runtime{{Name: "python", Version: "3.12.1"}}})
	await(t, "r2 fits", func() bool { return f.Check(python) == nil })
	if err := kv.Delete(t.Context(), "r2"); err != nil {
		t.Fatal(err)
	}
	await(t, "r2 has gone", func() bool { return f.Check(python) != nil })
	if all, known := f.Living(); !known || len(all) != 1 || all[0].Name != "r1" {
		t.Errorf("%+v, %v", all, known)
	}
}

// The bucket may be made anew, or lose its end, while the server is away.
func TestTheFleetIsReadAnewAfterTheServerWasAway(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	b := natstest.Connect(t, server)
	bucket := func() jetstream.KeyValue {
		kv, err := b.JS.KeyValue(t.Context(), streams.BucketRunners)
		if err != nil {
			t.Fatal(err)
		}
		return kv
	}
	f := fleet.New(b.JS, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	defer func() { cancel(); <-done }()
	lives := func(name string) func() bool {
		return func() bool {
			all, _ := f.Living()
			return len(all) == 1 && all[0].Name == name
		}
	}
	for range 3 {
		beat(t, bucket(), streams.RunnerInfo{Name: "before", Pool: "default"})
	}
	await(t, "the first lives", lives("before"))
	err := b.JS.DeleteKeyValue(t.Context(), streams.BucketRunners)
	if err == nil {
		err = streams.Ensure(t.Context(), b.JS, streams.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	beat(t, bucket(), streams.RunnerInfo{Name: "after", Pool: "default"})
	await(t, "the other lives, and the first does not", lives("after"))
}

func beat(t *testing.T, kv jetstream.KeyValue, r streams.RunnerInfo) {
	t.Helper()
	r.Version = streams.Version
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), r.Name, data); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(30 * time.Second); !holds(); {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not so: %s", what)
		}
	}
}
