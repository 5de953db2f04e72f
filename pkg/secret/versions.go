package secret

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// VersionInfo is what may be shown of a version of a secret.
type VersionInfo struct {
	Version   int64
	Current   bool
	CreatedAt time.Time
	KeyedAt   time.Time // when its data key was made
	KeyID     string    // of the key that its data key is wrapped with
	ExpiresAt *time.Time
	Expired   bool
}

// VersionsOf gives what may be shown of the versions of a secret that are kept, the newest first, or ErrNotFound.
func (s *Store) VersionsOf(ctx context.Context, owner Owner, name string) ([]VersionInfo, error) {
	ref := Ref{owner, name}
	rows, err := s.pool.Query(ctx, `SELECT v.version, v.version = s.version, v.created_at, v.keyed_at, v.key_id, v.expires_at, coalesce(v.expires_at <= now(), false)
		FROM secret_versions v JOIN secrets s USING (owner, name) WHERE owner = $1 AND name = $2 ORDER BY v.version DESC`, owner, name)
	if err != nil {
		return nil, fmt.Errorf("versions of secret %.200s: %w", ref, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[VersionInfo])
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("versions of secret %.200s: %w", ref, err)
	}
	return all, nil
}

// GetVersion gives the value of a version that is kept and whose end has not come, or ErrNotFound.
func (s *Store) GetVersion(ctx context.Context, owner Owner, name string, version int64) ([]byte, error) {
	ref := Ref{owner, name}
	all, err := collect(s.pool.Query(ctx, "SELECT "+envelopeColumns+` FROM secret_versions v
		WHERE owner = $1 AND name = $2 AND version = $3 AND (expires_at IS NULL OR expires_at > now())`, owner, name, version))
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("version %d of secret %.200s: %w", version, ref, err)
	}
	return s.value(ctx, all[0])
}

// Restore gives a secret the value of an earlier version, as a new one, for that long; 0 is for ever.
func (s *Store) Restore(ctx context.Context, owner Owner, name string, version int64, ttl time.Duration) (Info, error) {
	value, err := s.GetVersion(ctx, owner, name, version)
	if err != nil {
		return Info{}, err
	}
	defer clear(value)
	return s.Put(ctx, owner, name, value, ttl)
}

// Versions gives a text for each secret that changes whenever the secret does. It needs no key. Those whose end has
// come and those of executions are left out.
func Versions(ctx context.Context, pool *pgxpool.Pool) (map[Ref]string, error) {
	rows, err := pool.Query(ctx, `SELECT s.owner, s.name, s.version, s.updated_at
		FROM secrets s JOIN secret_versions v USING (owner, name, version)
		WHERE s.owner NOT LIKE 'execution:%' AND (v.expires_at IS NULL OR v.expires_at > now())`)
	if err != nil {
		return nil, fmt.Errorf("versions of secrets: %w", err)
	}
	type row struct {
		Owner     Owner
		Name      string
		Version   int64
		UpdatedAt time.Time
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return nil, fmt.Errorf("versions of secrets: %w", err)
	}
	versions := make(map[Ref]string, len(all))
	for _, r := range all {
		versions[Ref{r.Owner, r.Name}] = fmt.Sprintf("%d@%d", r.Version, r.UpdatedAt.UnixNano())
	}
	return versions, nil
}
