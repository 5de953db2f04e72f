package definitions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/pack"
)

// Store reads and changes definitions.
type Store struct {
	pool *pgxpool.Pool
}

// New gives a store on a database whose migrations have been applied.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Installed is a pack to install, whose archive is already in the bucket PACKS.
type Installed struct {
	Pack   pack.Pack
	Digest string
	Source string // who brings it, such as "shipped" or "api"; a pack stays with its source
	Origin string // where the archive came from, exactly: an address, a commit, an index; may be ""
	By     string // the person or service that asked
}

// Change says what Install did.
type Change struct {
	Kind            ChangeKind
	PreviousVersion string
	PreviousDigest  string
}

// ChangeKind says what became of a pack.
type ChangeKind string

// The kinds of change.
const (
	ChangeInstalled ChangeKind = "installed"
	ChangeUpgraded  ChangeKind = "upgraded" // to any other content, a lower version included
	ChangeUnchanged ChangeKind = "unchanged"
)

// write runs fn in a transaction that no other change of definitions overlaps.
func (s *Store) write(ctx context.Context, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('attune definitions'))"); err != nil {
			return fmt.Errorf("lock definitions: %w", err)
		}
		return fn(tx)
	})
}

// SetRuleEnabled switches a rule on or off. The choice outlives upgrades of the rule's pack.
func (s *Store) SetRuleEnabled(ctx context.Context, rule pack.Ref, enabled bool) error {
	tag, err := s.pool.Exec(ctx, `UPDATE rules SET enabled = $3, enabled_set = true, updated_at = clock_timestamp()
		WHERE pack = $1 AND name = $2`, rule.Pack, rule.Name, enabled)
	if err != nil {
		return fmt.Errorf("set rule %s enabled: %w", rule, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("rule %s: %w", rule, ErrNotFound)
	}
	return nil
}

// SetPackConfig sets the configuration of a pack, an object that must fit the pack's schema. What the schema says is
// secret must refer to secrets. It outlives upgrades of the pack.
func (s *Store) SetPackConfig(ctx context.Context, name string, config json.RawMessage) error {
	return s.write(ctx, func(tx pgx.Tx) error { return setPackConfig(ctx, tx, name, config) })
}

// PackConfig gives the configuration of a pack as it is now.
func (s *Store) PackConfig(ctx context.Context, name string) (config json.RawMessage, err error) {
	err = s.pool.QueryRow(ctx, "SELECT config FROM packs WHERE name = $1", name).Scan(&config)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("configuration of pack %s: %w", name, err)
	}
	return config, nil
}
