package local_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/services/attune/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *local.Folder {
	t.Helper()
	f, err := local.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAFolderHasOneUserAtATime(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first := open(t, dir)
	_, err := local.Open(dir)
	if !errors.Is(err, local.ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("second user: %v, want %v with the first one's process", err, local.ErrInUse)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheAnnouncementIsPrivateAndGoneAfterwards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := open(t, dir)
	want := local.Announcement{APIURL: "http://127.0.0.1:1", NATSURL: "nats://127.0.0.1:2", NATSCreds: "/c", Token: "t", PID: 3, Version: "v"}
	if err := f.Announce(want); err != nil {
		t.Fatal(err)
	}
	if got, err := local.Read(dir); err != nil || got != want {
		t.Fatalf("read %+v, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(dir, local.FileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	// The announcement of a process that was killed does not outlive the next one's start.
	defer open(t, dir).Close() //nolint:errcheck // a test's folder
	if _, err := local.Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the next start: %v", err)
	}
}

func TestTheTokenIsKept(t *testing.T) {
	t.Parallel()
	f := open(t, t.TempDir())
	defer f.Close() //nolint:errcheck // a test's folder
	first, err := f.Token("")
	if err != nil || len(first) < 26 {
		t.Fatalf("token %q, %v", first, err)
	}
	if again, err := f.Token(""); err != nil || again != first {
		t.Errorf("second time %q, %v", again, err)
	}
	if given, err := f.Token("mine"); err != nil || given != "mine" {
		t.Errorf("configured: %q, %v", given, err)
	}
}
