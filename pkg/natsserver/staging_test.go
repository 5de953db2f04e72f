package natsserver_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/streams"
)

// stagings lists where the streams' batches are staged in memory.
func stagings(t *testing.T, dir string) (targets []string) {
	t.Helper()
	links, err := filepath.Glob(filepath.Join(dir, "store", "jetstream", "*", "streams", "*", "batches"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil {
			targets = append(targets, target)
		}
	}
	return targets
}

func stagedServer(t *testing.T, dir string) (*natsserver.Server, *bus.Bus) {
	t.Helper()
	s, err := natsserver.Start(natsserver.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	b, err := bus.Connect(t.Context(), bus.Config{CredsFile: s.CredsFile(), Name: "test", InProcess: s.InProcess(), FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := streams.Ensure(t.Context(), b.JS, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	if !s.Stage() {
		t.Skip("this machine has no file system in memory")
	}
	return s, b
}

func batch(t *testing.T, b *bus.Bus, name string) {
	t.Helper()
	var msgs []*nats.Msg
	for i := range 5 {
		subject, err := streams.ExecutionSubject("core", "noop", fmt.Sprint(name, i))
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, nats.NewMsg(subject))
	}
	if _, err := b.PublishBatch(t.Context(), msgs); err != nil {
		t.Fatal(err)
	}
}

// What is staged in memory is gone after the batch, after a restart, and after a stop; the batches are in the stream.
func TestBatchesAreStagedInMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, b := stagedServer(t, dir)
	batch(t, b, "a")
	before := stagings(t, dir)
	if len(before) == 0 {
		t.Fatal("nothing is staged in memory")
	}
	for _, folder := range before {
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("%s after the batch: %v, %v", folder, left, err)
		}
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if after := stagings(t, dir); len(after) != len(before) {
		t.Errorf("after a restart %d streams stage in memory, %d before", len(after), len(before))
	}
	s.Stop()
	gone(t, append(before, stagings(t, dir)...))
}

func gone(t *testing.T, folders []string) {
	t.Helper()
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Dir(folder)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", filepath.Dir(folder), err)
		}
	}
}

// A server that was killed leaves its folder in memory to the next one.
func TestWhatAKilledServerStagedIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left, err := os.MkdirTemp("/dev/shm", "attune-batches-") //nolint:usetesting // only what is there is taken for a server's
	if err != nil {
		t.Skip("this machine has no file system in memory: ", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(left) })
	s, b := stagedServer(t, dir)
	s.Stop()
	foreign := filepath.Join(t.TempDir(), "of-somebody")
	for stream, target := range map[string]string{streams.Executions: filepath.Join(left, "x"), streams.Queue: filepath.Join(foreign, "x")} {
		folders, err := filepath.Glob(filepath.Join(dir, "store", "jetstream", "*", "streams", stream))
		if err != nil || len(folders) != 1 {
			t.Fatal(folders, err)
		}
		if err := os.MkdirAll(target, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(folders[0], "batches")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a folder that is none of a server's: %v", err)
	}
	gone(t, []string{filepath.Join(left, "x")})
	for b.Conn.Status() != nats.CONNECTED {
		if err := b.Conn.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
	}
	batch(t, b, "b")
}
