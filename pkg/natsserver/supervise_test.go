package natsserver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
)

// smallVolume is a folder on a volume of its own.
func smallVolume(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small volume takes the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAServerWhoseDiskWasFullServesAgainAndHasLostNothing(t *testing.T) {
	t.Parallel()
	volume := smallVolume(t, "48m")
	s := start(t, filepath.Join(volume, "nats"), "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	b := connect(t, s, nil)
	if _, err := b.JS.CreateStream(ctx, jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(volume, "filler")
	if err := os.WriteFile(filler, make([]byte, 36<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	stored := fillUp(t, b)
	if s.Writable() {
		t.Error("the server does not know that it cannot write")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	awaitPublish(t, b, stored+1)
}

// fillUp publishes until it is not acknowledged any more.
func fillUp(t *testing.T, b *bus.Bus) (stored uint64) {
	t.Helper()
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		ack, err := b.JS.Publish(ctx, "kept", make([]byte, 2<<20), jetstream.WithRetryAttempts(0))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return stored
		}
		if err != nil {
			t.Fatal(err)
		}
		stored = ack.Sequence
	}
	t.Fatal("the disk does not get full")
	return 0
}

func awaitPublish(t *testing.T, b *bus.Bus, want uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		try, end := context.WithTimeout(ctx, time.Second)
		ack, err := b.JS.Publish(try, "kept", []byte("after"), jetstream.WithRetryAttempts(0))
		end()
		if err == nil {
			if ack.Sequence != want {
				t.Errorf("first message afterwards has the sequence %d, want %d", ack.Sequence, want)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
