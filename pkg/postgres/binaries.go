package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// MinMajor is the oldest major version of PostgreSQL that Attune's schema works with.
const MinMajor = 14

// ErrNoBinaries is returned when no PostgreSQL that fits is installed.
var ErrNoBinaries = errors.New("no PostgreSQL found on PATH or under /usr/lib/postgresql/*/bin")

// Binaries is one installed PostgreSQL.
type Binaries struct {
	Dir     string // holds initdb and postgres
	Major   int
	Version string // as the server says it
}

// Installed looks for PostgreSQL on PATH and where Debian and Red Hat put it, and takes the newest, or the
// one of the wanted major version when want is not 0. A binary counts when it runs and tells its version.
func Installed(ctx context.Context, want int) (Binaries, error) {
	var found []Binaries
	for _, dir := range candidates() {
		b, err := inspect(ctx, dir)
		if err == nil && b.Major >= MinMajor && (want == 0 || b.Major == want) {
			found = append(found, b)
		}
	}
	if len(found) == 0 {
		return Binaries{}, ErrNoBinaries
	}
	return slices.MaxFunc(found, func(a, b Binaries) int { return a.Major - b.Major }), nil
}

func candidates() []string {
	var dirs []string
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		more, _ := filepath.Glob(pattern)
		dirs = append(dirs, more...)
	}
	return slices.DeleteFunc(dirs, func(d string) bool {
		return !filepath.IsAbs(d) || !isExecutable(d, "postgres") || !isExecutable(d, "initdb")
	})
}

func isExecutable(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[^\s]*)`)

// inspect asks the server in dir for its version.
func inspect(ctx context.Context, dir string) (Binaries, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("version of postgres in %s: %w", dir, err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return Binaries{}, fmt.Errorf("version of postgres in %s: not understood: %.100q", dir, out)
	}
	major, err := strconv.Atoi(string(m[2]))
	if err != nil {
		return Binaries{}, fmt.Errorf("version of postgres in %s: %w", dir, err)
	}
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return Binaries{}, fmt.Errorf("version of postgres: %w", err)
	}
	return Binaries{Dir: dir, Major: major, Version: string(m[1])}, nil
}
