package definitions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// failedFor is how long a version that never was in service shows why, when no other went in service since.
const failedFor = 24 * time.Hour

// sqlUnused finds versions that nobody needs any more: $1 is the grace, $2 is failedFor. The version in service and
// the one that a rollback leads to are needed, and so is what an unfinished execution was requested with.
const sqlUnused = `
	ended_at < clock_timestamp() - $1::interval
	AND NOT EXISTS (SELECT FROM packs p WHERE p.name = v.pack AND p.digest = v.digest)
	AND CASE
		WHEN state = 'retired' THEN true
		WHEN switched_at IS NOT NULL THEN EXISTS (SELECT FROM pack_versions later WHERE later.pack = v.pack
			AND later.state IN ('kept', 'failed') AND later.switched_at > v.switched_at)
		ELSE ended_at < clock_timestamp() - $2::interval OR EXISTS (SELECT FROM pack_versions a WHERE a.pack = v.pack
			AND a.state = 'active' AND a.switched_at > v.ended_at)
	END
	AND NOT EXISTS (SELECT FROM executions e WHERE e.pack_digest = v.digest AND e.status IN ('requested', 'running', 'canceling'))`

// Unused lists the versions that nobody has needed for that long.
func (s *Store) Unused(ctx context.Context, grace time.Duration) ([]Version, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+versionColumns+" FROM pack_versions v WHERE "+sqlUnused, grace, failedFor)
	if err != nil {
		return nil, fmt.Errorf("look for unused versions of packs: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Version])
	if err != nil {
		return nil, fmt.Errorf("look for unused versions of packs: %w", err)
	}
	return all, nil
}

// Remove forgets a version, after it has called clear to remove what belongs to it elsewhere. Meanwhile nobody can
// install that version: whoever asks waits, and then it is a new one. It fails with ErrStale when the version is
// needed after all, and clear was not called.
func (s *Store) Remove(ctx context.Context, v Version, grace time.Duration, clear func() error) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		_, err := oneVersion(ctx, tx, "SELECT "+versionColumns+` FROM pack_versions v
			WHERE pack = $3 AND digest = $4 AND generation = $5 AND state = $6 AND `+sqlUnused,
			grace, failedFor, v.Pack, v.Digest, v.Generation, string(v.State))
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrStale
		}
		if err != nil {
			return err
		}
		if err := clear(); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM pack_versions WHERE pack = $1 AND digest = $2", v.Pack, v.Digest)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove pack %s %s: %w", v.Pack, v.Version, err)
	}
	return nil
}

// retire notes that nothing of a pack will go in service any more.
func retire(ctx context.Context, tx pgx.Tx, name string) (int64, error) {
	tag, err := tx.Exec(ctx, `UPDATE pack_versions SET state = 'retired', ended_at = clock_timestamp(), error = ''
		WHERE pack = $1 AND state <> 'retired'`, name)
	return tag.RowsAffected(), err
}
