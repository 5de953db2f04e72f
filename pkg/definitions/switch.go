package definitions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Switch puts a version in service whose state is still that of v, as Install does.
func (s *Store) Switch(ctx context.Context, in Installed, v Version) (change Change, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		if err := stillBuilding(ctx, tx, v); err != nil {
			return err
		}
		change, err = serve(ctx, tx, in)
		return err
	})
	if err != nil {
		return Change{}, fmt.Errorf("put pack %s %s in service: %w", v.Pack, v.Version, err)
	}
	return change, nil
}

func stillBuilding(ctx context.Context, tx pgx.Tx, v Version) error {
	now, err := versionOf(ctx, tx, v.Pack, v.Digest)
	if err != nil {
		return err
	}
	if now.State != VersionBuilding || now.Generation != v.Generation {
		return fmt.Errorf("%w: it is %s, try %d", ErrStale, now.State, now.Generation)
	}
	return nil
}

// activate notes which version is in service.
func activate(ctx context.Context, tx pgx.Tx, in Installed) error {
	if _, err := tx.Exec(ctx, `UPDATE pack_versions SET state = 'kept', ended_at = clock_timestamp()
		WHERE pack = $1 AND digest <> $2 AND state = 'active'`, in.Pack.Name, in.Digest); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO pack_versions AS v (pack, digest, version, source, installed_by, state, switched_at)
		VALUES ($1, $2, $3, $4, $5, 'active', clock_timestamp())
		ON CONFLICT (pack, digest) DO UPDATE SET state = 'active', source = excluded.source,
			switched_at = CASE WHEN v.state = 'active' THEN v.switched_at ELSE clock_timestamp() END,
			ended_at = NULL, runner = '', error = '', tail = '{}'`,
		in.Pack.Name, in.Digest, in.Pack.Version, in.Source, in.By)
	return err
}

// Failure says why a version cannot go in service.
type Failure struct {
	Runner string   // where, if one runner is to blame
	Error  string   // must not be empty
	Tail   []string // the last lines of what failed
}

// Fail gives a version up whose state is still that of v.
func (s *Store) Fail(ctx context.Context, v Version, f Failure) error {
	if f.Tail == nil {
		f.Tail = []string{}
	}
	return s.move(ctx, v, "fail", `UPDATE pack_versions SET state = 'failed', runner = $4, error = $5, tail = $6, ended_at = clock_timestamp()
		WHERE pack = $1 AND digest = $2 AND generation = $3 AND state = 'building'`, f.Runner, f.Error, f.Tail)
}

// Ready notes that a version whose state is still that of v waits for the word to go in service.
func (s *Store) Ready(ctx context.Context, v Version) error {
	return s.move(ctx, v, "ready", `UPDATE pack_versions SET state = 'ready'
		WHERE pack = $1 AND digest = $2 AND generation = $3 AND state = 'building' AND switch = 'never'`)
}

func (s *Store) move(ctx context.Context, v Version, verb, sql string, args ...any) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, slices.Concat([]any{v.Pack, v.Digest, v.Generation}, args)...)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrStale
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s pack %s %s: %w", verb, v.Pack, v.Version, err)
	}
	return nil
}

// Release lets the version that waits for a word go in service. One that is not ready yet goes when it is.
func (s *Store) Release(ctx context.Context, name string) (v Version, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		v, err = oneVersion(ctx, tx, `UPDATE pack_versions SET state = 'building',
				switch = CASE WHEN state = 'ready' THEN 'now' WHEN switch = 'never' THEN 'all' ELSE switch END
			WHERE pack = $1 AND state IN ('building', 'ready') RETURNING `+versionColumns, name)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("pack %s: %w waits to go in service", name, ErrNoVersion)
		}
		return err
	})
	return v, err
}

// Rollback has a version put in service again at once: the one that was before, or the one that is named by its
// version or the beginning of its digest.
func (s *Store) Rollback(ctx context.Context, name, version string) (v Version, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		v, err = rollback(ctx, tx, name, version)
		return err
	})
	if err != nil {
		return Version{}, fmt.Errorf("roll back pack %s: %w", name, err)
	}
	return v, nil
}

func rollback(ctx context.Context, tx pgx.Tx, name, version string) (Version, error) {
	all, err := versionsOf(ctx, tx, name)
	if err != nil {
		return Version{}, err
	}
	to, err := returning(version, all)
	if err != nil {
		return Version{}, err
	}
	for _, v := range all {
		if !v.Coming() {
			continue
		}
		if err := giveUp(ctx, tx, v, "given up: the pack was rolled back to "+to.Version); err != nil {
			return Version{}, err
		}
	}
	return oneVersion(ctx, tx, `UPDATE pack_versions SET state = 'building', switch = 'now', ended_at = NULL,
			runner = '', error = '', tail = '{}', requested_at = clock_timestamp()
		WHERE pack = $1 AND digest = $2 RETURNING `+versionColumns, name, to.Digest)
}

func versionsOf(ctx context.Context, tx pgx.Tx, name string) ([]Version, error) {
	rows, err := tx.Query(ctx, "SELECT "+versionColumns+" FROM pack_versions WHERE pack = $1", name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Version])
}

// returning chooses the version that a rollback means.
func returning(version string, all []Version) (Version, error) {
	if !slices.ContainsFunc(all, func(v Version) bool { return v.State == VersionActive }) {
		return Version{}, ErrNotFound
	}
	var there []string
	meant := slices.DeleteFunc(slices.Clone(all), func(v Version) bool {
		if v.returnable() {
			there = append(there, v.Version)
		}
		return version != "" && v.Version != version && (len(version) < minPrefix || !strings.HasPrefix(v.Digest, version))
	})
	if v, ok := Previous(meant); ok {
		return v, nil
	}
	if slices.ContainsFunc(meant, func(v Version) bool { return version != "" && v.State == VersionActive }) {
		return Version{}, fmt.Errorf("%w: %s is in service", ErrNoVersion, version)
	}
	slices.Sort(there)
	kept := "none is kept"
	if len(there) > 0 {
		kept = "kept are " + strings.Join(there, ", ")
	}
	return Version{}, fmt.Errorf("%w to return to: %s", ErrNoVersion, kept)
}

// minPrefix is how much of a digest names a version.
const minPrefix = 6
