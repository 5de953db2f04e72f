package definitions

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Recorded says what Record did.
type Recorded struct {
	Change  Change // what putting the version in service changes, or has changed
	Version Version
}

// Record notes that a version is to be installed, after it has found out that nothing of what is there now is in the
// way: it fails as Install does. A version of the pack that is still on its way is given up. What is in service
// already, as it was brought, is ChangeUnchanged; what was recorded already goes on, with this Switch; what failed or
// left service is tried again under the next generation.
func (s *Store) Record(ctx context.Context, in Installed, when Switch) (Recorded, error) {
	var r Recorded
	err := s.write(ctx, func(tx pgx.Tx) (err error) {
		r, err = record(ctx, tx, in, when)
		return err
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("install pack %s: %w", in.Pack.Name, err)
	}
	return r, nil
}

func record(ctx context.Context, tx pgx.Tx, in Installed, when Switch) (r Recorded, err error) {
	if r.Change, err = compare(ctx, tx, in); err != nil {
		return r, err
	}
	if err := supersede(ctx, tx, in); err != nil {
		return r, err
	}
	switch {
	case r.Change.Kind == ChangeUnchanged:
		r.Version, err = versionOf(ctx, tx, in.Pack.Name, in.Digest)
		return r, err
	case r.Change.PreviousDigest == in.Digest: // in service, but for rules that a forced uninstall took away
		if r.Change, err = serve(ctx, tx, in); err == nil {
			r.Version, err = versionOf(ctx, tx, in.Pack.Name, in.Digest)
		}
		return r, err
	}
	if err := rehearse(ctx, tx, in); err != nil {
		return r, err
	}
	r.Version, err = announce(ctx, tx, in, when)
	return r, err
}

// supersede gives up what is on its way of the same pack, unless it is another source's.
func supersede(ctx context.Context, tx pgx.Tx, in Installed) error {
	all, err := versionsOf(ctx, tx, in.Pack.Name)
	if err != nil {
		return err
	}
	for _, v := range all {
		switch {
		case !v.Coming() || v.Digest == in.Digest && v.Source == in.Source:
		case v.Source != in.Source:
			return &ConflictError{Kind: "pack", Name: v.Pack, Owner: v.Source, By: in.Source}
		default:
			return giveUp(ctx, tx, v, "given up: "+in.Pack.Version+" was asked for before it was in service")
		}
	}
	return nil
}

// giveUp ends the way of a version. What has been in service before can be again.
func giveUp(ctx context.Context, tx pgx.Tx, v Version, why string) error {
	_, err := tx.Exec(ctx, `UPDATE pack_versions SET ended_at = clock_timestamp(), error = $3,
			state = CASE WHEN switched_at IS NULL THEN 'failed' ELSE 'kept' END
		WHERE pack = $1 AND digest = $2`, v.Pack, v.Digest, why)
	return err
}

// errRehearsed ends a transaction whose only purpose was to find out whether it would do.
var errRehearsed = errors.New("it was a rehearsal")

// rehearse puts a version in service and takes that back.
func rehearse(ctx context.Context, tx pgx.Tx, in Installed) error {
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		if _, err := serve(ctx, tx, in); err != nil {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

// announce writes the row of a version that is to be built.
func announce(ctx context.Context, tx pgx.Tx, in Installed, when Switch) (Version, error) {
	return oneVersion(ctx, tx, `INSERT INTO pack_versions AS v (pack, digest, version, source, installed_by, origin, state, switch)
		VALUES ($1, $2, $3, $4, $5, $7, 'building', $6)
		ON CONFLICT (pack, digest) DO UPDATE SET
			source = excluded.source, installed_by = excluded.installed_by, origin = excluded.origin, switch = excluded.switch,
			state = CASE WHEN v.state = 'ready' AND excluded.switch = 'never' THEN 'ready' ELSE 'building' END,
			generation = v.generation + (v.state NOT IN ('building', 'ready'))::integer,
			requested_at = CASE WHEN v.state IN ('building', 'ready') THEN v.requested_at ELSE clock_timestamp() END,
			runner = '', error = '', tail = '{}', ended_at = NULL
		RETURNING `+versionColumns, in.Pack.Name, in.Digest, in.Pack.Version, in.Source, in.By, string(when), in.Origin)
}

// versionColumns are the fields of Version in their order.
const versionColumns = `pack, digest, version, source, installed_by, origin, state, switch, generation, runner, error, tail,
	requested_at, switched_at, ended_at`

func oneVersion(ctx context.Context, tx pgx.Tx, sql string, args ...any) (Version, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return Version{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Version])
}

func versionOf(ctx context.Context, tx pgx.Tx, name, digest string) (Version, error) {
	v, err := oneVersion(ctx, tx, "SELECT "+versionColumns+" FROM pack_versions WHERE pack = $1 AND digest = $2", name, digest)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, fmt.Errorf("pack %s with digest %.12s: %w", name, digest, ErrNoVersion)
	}
	return v, err
}

// Version gives a version as it is now.
func (s *Store) Version(ctx context.Context, name, digest string) (v Version, err error) {
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		v, err = versionOf(ctx, tx, name, digest)
		return err
	})
	return v, err
}

// Installed tells whether a version of a pack was installed, and has not been removed since.
func (s *Store) Installed(ctx context.Context, name, digest string) (installed bool, err error) {
	err = s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pack_versions WHERE pack = $1 AND digest = $2)", name, digest).Scan(&installed)
	if err != nil {
		return false, fmt.Errorf("look for version %.12s of pack %s: %w", digest, name, err)
	}
	return installed, nil
}
