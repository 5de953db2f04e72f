package postgres

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

// other is a user that is not this process's, which takes being root to give files to.
func other(t *testing.T) owner {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root runs PostgreSQL as another user")
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return owner{name: "nobody", uid: uid, gid: gid}
}

// openFolder is a folder that everybody can reach.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "attune-place-") //nolint:usetesting // t.TempDir lies in a folder closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func closedFolder(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAPrivateDataFolderIsOpenedToPassThroughOnly(t *testing.T) {
	t.Parallel()
	o, root := other(t), openFolder(t)
	home := closedFolder(t, filepath.Join(root, "home"))
	got, err := place(filepath.Join(home, "postgres"), o, filepath.Join(root, "elsewhere"))
	if err != nil || got != filepath.Join(home, "postgres") {
		t.Fatalf("place: %q, %v", got, err)
	}
	info, err := os.Stat(home)
	if err != nil || info.Mode().Perm() != 0o710 {
		t.Errorf("data folder: %v, %v", info.Mode(), err)
	}
}

func TestDataGoesElsewhereWhenAFolderAboveIsClosed(t *testing.T) {
	t.Parallel()
	o, root := other(t), openFolder(t)
	closedFolder(t, filepath.Join(root, "somebody"))
	dir := filepath.Join(root, "somebody", "attune", "postgres")
	first, err := place(dir, o, filepath.Join(root, "elsewhere"))
	if err != nil || filepath.Dir(first) != filepath.Join(root, "elsewhere") {
		t.Fatalf("place: %q, %v", first, err)
	}
	second, err := place(dir, o, filepath.Join(root, "elsewhere"))
	if err != nil || second != first {
		t.Fatalf("place again: %q, %v, want %q", second, err, first)
	}
	if info, err := os.Stat(filepath.Join(root, "somebody")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder of somebody: %v, %v", info.Mode(), err)
	}
}

func TestDataThatHasGoneIsNotReplacedByAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	root := openFolder(t)
	dir := filepath.Join(root, "postgres")
	if err := os.Symlink(filepath.Join(root, "gone"), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := place(dir, owner{self: true}, root); !errors.Is(err, ErrDataMissing) {
		t.Fatalf("got %v, want %v", err, ErrDataMissing)
	}
}

func TestDataThatCannotBeReachedAnyMoreIsSaid(t *testing.T) {
	t.Parallel()
	o, root := other(t), openFolder(t)
	dir := filepath.Join(root, "a", "b", "postgres")
	closedFolder(t, dir)
	if _, err := place(dir, o, root); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("got %v, want %v", err, ErrUnreachable)
	}
}
