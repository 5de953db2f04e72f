package natsserver_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
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
	stored := fillUp(t, s, b)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	awaitPublish(t, b, stored+1)
}

// fillUp publishes until the server knows that it cannot write.
func fillUp(t *testing.T, s *natsserver.Server, b *bus.Bus) (stored uint64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		sent, err := b.JS.PublishAsync("kept", make([]byte, 2<<20), jetstream.WithRetryAttempts(0))
		if err != nil {
			t.Fatal(err)
		}
		for answered := false; !answered; {
			select {
			case ack := <-sent.Ok():
				stored, answered = ack.Sequence, true
			case err := <-sent.Err():
				t.Fatal(err)
			case <-tick.C:
				if !s.Writable() {
					return stored
				}
			}
		}
	}
	t.Fatal("the disk does not get full")
	return 0
}

// awaitPublish publishes until it is acknowledged, and looks whether the first such message is the wanted one.
func awaitPublish(t *testing.T, b *bus.Bus, want uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		try, end := context.WithTimeout(ctx, time.Second)
		_, err := b.JS.Publish(try, "kept", []byte("after"), jetstream.WithRetryAttempts(0))
		end()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	stream, err := b.JS.Stream(ctx, "KEPT")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetMsg(ctx, want); err != nil || string(m.Data) != "after" {
		t.Errorf("message %d is not the first afterwards: %v", want, err)
	}
}
