package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// systemCache is where root keeps obtained binaries: the server's user must be able to read them.
const systemCache = "/var/cache/attune"

// versions are the releases that can be obtained, the preferred one first.
var versions = []embeddedpostgres.PostgresVersion{
	embeddedpostgres.V17, embeddedpostgres.V18, embeddedpostgres.V16, embeddedpostgres.V15, embeddedpostgres.V14,
}

// fetch obtains the binaries of the wanted major version, or of the preferred one when want is 0.
func fetch(ctx context.Context, cfg Config, o owner, want int) (Binaries, error) {
	version, err := obtainable(want)
	if err != nil {
		return Binaries{}, err
	}
	cache, err := cacheFolder(cfg, o)
	if err != nil {
		return Binaries{}, err
	}
	dir := filepath.Join(cache, "postgresql-"+string(version))
	if b, err := inspect(ctx, filepath.Join(dir, "bin")); err == nil {
		return b, nil
	}
	cfg.Logger.InfoContext(ctx, "no PostgreSQL installed, obtaining one")
	// The library has no call that only obtains: it is asked to make a database in a locale that does not
	// exist, so that it stops before it starts anything, and what counts is whether the binaries then run.
	library := embeddedpostgres.DefaultConfig().Version(version).Port(0).Locale("none").Logger(io.Discard).
		CachePath(cache).BinariesPath(dir).RuntimePath(dir + ".runtime")
	if cfg.Repository != "" {
		library = library.BinaryRepositoryURL(cfg.Repository)
	}
	errStart := embeddedpostgres.NewDatabase(library).Start()
	_ = os.RemoveAll(dir + ".runtime")
	b, err := inspect(ctx, filepath.Join(dir, "bin"))
	if err != nil {
		return Binaries{}, fmt.Errorf("obtain PostgreSQL %s: %w", version, errors.Join(errStart, err))
	}
	return b, nil
}

func obtainable(want int) (embeddedpostgres.PostgresVersion, error) {
	for _, v := range versions {
		if want == 0 || strings.HasPrefix(string(v), strconv.Itoa(want)+".") {
			return v, nil
		}
	}
	return "", fmt.Errorf("obtain PostgreSQL %d: %w", want, ErrVersion)
}

func cacheFolder(cfg Config, o owner) (string, error) {
	dir := cfg.Cache
	switch {
	case dir != "":
	case o.self:
		home, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("folder for PostgreSQL's binaries: %w", err)
		}
		dir = filepath.Join(home, "attune")
	default:
		dir = systemCache
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("folder for PostgreSQL's binaries: %w", err)
	}
	return dir, nil
}
