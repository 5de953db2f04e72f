package packwatch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/packwatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func watch(t *testing.T, quiet time.Duration) (*packwatch.Watcher, string) {
	t.Helper()
	dir := t.TempDir()
	w, err := packwatch.New(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, w.Close()); err != nil {
			t.Error(err)
		}
	})
	return w, dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func told(t *testing.T, w *packwatch.Watcher) {
	t.Helper()
	select {
	case <-w.Changed():
	case <-time.After(30 * time.Second):
		t.Fatal("a change was not told")
	}
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	w, dir := watch(t, 10*time.Millisecond)
	write(t, filepath.Join(dir, "pack.yaml"), "a")
	told(t, w)
	write(t, filepath.Join(dir, "actions", "deep", "a.yaml"), "a") // the folders are new
	told(t, w)
	// A word may come for the folders before the file is there; the next is for the file alone.
	write(t, filepath.Join(dir, "actions", "deep", "b.yaml"), "b")
	told(t, w)
	if err := os.Remove(filepath.Join(dir, "pack.yaml")); err != nil {
		t.Fatal(err)
	}
	told(t, w)
}

func TestWhatIsNoPartOfThePackCountsForNothing(t *testing.T) {
	t.Parallel()
	w, dir := watch(t, time.Millisecond)
	for _, name := range []string{".git/index", "node_modules/x/y.js", "a.pyc", ".attune/pack.json"} {
		write(t, filepath.Join(dir, name), "x")
	}
	select {
	case <-w.Changed():
		t.Error("told")
	case <-time.After(100 * time.Millisecond):
	}
}
