package attunetest

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// playground is the folder of all shared ones, which the instances of this package let actions change.
var (
	playground = sync.OnceValue(makePlayground)
	played     atomic.Pointer[string] // what was made, for Main to remove
)

func makePlayground() string {
	dir, err := os.MkdirTemp("", "attune-shared-")
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // actions are other users
	}
	if err != nil {
		panic(err)
	}
	played.Store(&dir)
	return dir
}

// Shared gives a fresh folder in which actions and their test find what the other left: actions reach no other folder
// of the test, and may have a user of their own.
func Shared(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(playground(), "") //nolint:usetesting // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is what it is for
		t.Fatal(err)
	}
	return dir
}

// SharedFile is an empty file in a fresh folder of that kind, to which every action may append.
func SharedFile(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(Shared(t), name)
	OpenToAll(t, file)
	return file
}

// OpenToAll makes a file that every action may append to: the first one's would be its own.
func OpenToAll(t testing.TB, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o666); err != nil { //nolint:gosec // likewise
		t.Fatal(err)
	}
}
