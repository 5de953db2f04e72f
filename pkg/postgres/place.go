package postgres

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrUnreachable is returned when the user that PostgreSQL runs as cannot reach its data.
var ErrUnreachable = errors.New("PostgreSQL cannot reach its folder")

// ErrDataMissing is returned when the folder that the data was kept in is gone.
var ErrDataMissing = errors.New("the data of PostgreSQL is gone")

// elsewhere is where root keeps the data when the wanted folder cannot be reached by an unprivileged user.
const elsewhere = "/var/lib/attune-postgres"

// place makes the folder that everything of the server lives in and gives its true path. That is dir
// itself, unless we are root and a folder above dir is closed to the server's user (somebody's home, say):
// then dir becomes a symbolic link to a new folder under elsewhere.
func place(dir string, o owner, elsewhere string) (string, error) {
	switch info, err := os.Lstat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return placeNew(dir, o, elsewhere)
	case err != nil:
		return "", fmt.Errorf("folder of PostgreSQL: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return placeLinked(dir, o)
	}
	if err := openWay(filepath.Dir(dir), o); err != nil {
		return "", err
	}
	return dir, o.mkdir(dir)
}

func placeLinked(link string, o owner) (string, error) {
	dir, err := filepath.EvalSymlinks(link)
	if errors.Is(err, fs.ErrNotExist) {
		target, _ := os.Readlink(link)
		return "", fmt.Errorf("%s was kept in %s: %w (remove the link to begin with an empty database)", link, target, ErrDataMissing)
	}
	if err != nil {
		return "", fmt.Errorf("folder of PostgreSQL: %w", err)
	}
	if err := openWay(filepath.Dir(dir), o); err != nil {
		return "", err
	}
	return dir, o.mkdir(dir)
}

func placeNew(dir string, o owner, elsewhere string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", fmt.Errorf("folder of PostgreSQL: %w", err)
	}
	if err := openWay(filepath.Dir(dir), o); err == nil || !errors.Is(err, ErrUnreachable) {
		if err != nil {
			return "", err
		}
		return dir, o.mkdir(dir)
	}
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		return "", fmt.Errorf("folder of PostgreSQL: %w", err)
	}
	target := filepath.Join(elsewhere, rand.Text()[:12])
	if err := openWay(elsewhere, o); err != nil {
		return "", err
	}
	if err := o.mkdir(target); err != nil {
		return "", err
	}
	if err := os.Symlink(target, dir); err != nil {
		return "", fmt.Errorf("link folder of PostgreSQL: %w", err)
	}
	return target, nil
}

// openWay makes sure that the owner can pass through parent and all above it. Only parent itself, Attune's
// own data folder, is changed for that, and only when it is wholly private: the owner's group may then
// pass through it, not list it. What lies above is not ours to open.
func openWay(parent string, o owner) error {
	shut, err := o.closed(parent)
	if err != nil {
		return err
	}
	if len(shut) == 0 {
		return nil
	}
	if len(shut) == 1 && shut[0] == parent && isPrivate(parent) {
		return openToGroup(parent, o)
	}
	return fmt.Errorf("user %s may not enter %s: %w (allow it with chmod o+x, or choose another data folder)", o.name, shut[len(shut)-1], ErrUnreachable)
}

func isPrivate(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().Perm() == 0o700 && int(st.Uid) == os.Geteuid()
}

func openToGroup(dir string, o owner) error {
	if err := os.Chown(dir, -1, o.gid); err != nil {
		return fmt.Errorf("open %s to group of user %s: %w", dir, o.name, err)
	}
	if err := os.Chmod(dir, 0o710); err != nil {
		return fmt.Errorf("open %s to group of user %s: %w", dir, o.name, err)
	}
	return nil
}
