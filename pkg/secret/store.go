package secret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// MaxValue is the longest value, in bytes.
const MaxValue = 64 << 10

var (
	// ErrNotFound is returned when a secret of that name does not exist.
	ErrNotFound = errors.New("secret not found")
	// ErrBadName is returned when a text cannot name a secret.
	ErrBadName = errors.New("not a valid name of a secret")
	// ErrBadValue is returned when a value is empty, too long or not UTF-8.
	ErrBadValue = errors.New("not a valid value of a secret")
)

// What packs may name, see pkg/pack: mostly names that can stand as variables of a shell.
var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,127}$`)

// ValidName tells whether s may name a secret.
func ValidName(s string) bool { return namePattern.MatchString(s) }

// Info is what may be shown of a secret.
type Info struct {
	Name      string
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Store keeps secrets in PostgreSQL.
type Store struct {
	pool *pgxpool.Pool
	key  *Key
}

// Open opens the store of a database whose migrations have been applied, with the key in a file. The first
// Open of a database makes the key. Later it returns ErrKeyMissing or ErrKeyWrong when the file does not hold
// the key that the secrets are sealed with: it never makes a second one.
func Open(ctx context.Context, pool *pgxpool.Pool, keyFile string) (*Store, error) {
	s := &Store{pool: pool}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('attune secret keys'))"); err != nil {
			return fmt.Errorf("lock keys of secrets: %w", err)
		}
		return s.agree(ctx, tx, keyFile)
	})
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	return s, s.check()
}

// agree finds the key that file and database have in common.
func (s *Store) agree(ctx context.Context, tx pgx.Tx, file string) error {
	var id string
	var proof []byte
	err := tx.QueryRow(ctx, "SELECT id, proof FROM secret_keys WHERE current").Scan(&id, &proof)
	if errors.Is(err, pgx.ErrNoRows) {
		return s.begin(ctx, tx, file)
	}
	if err != nil {
		return fmt.Errorf("read keys of secrets: %w", err)
	}
	if s.key, err = loadKey(file); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: bring back the file %s with key %s", ErrKeyMissing, file, id)
	} else if err != nil {
		return err
	}
	if s.key.id != id || !s.key.proves(proof) {
		return fmt.Errorf("%w: %s holds key %s, want %s", ErrKeyWrong, file, s.key.id, id)
	}
	return nil
}

// begin records the first key. A file without a record is left by a start that died in between.
func (s *Store) begin(ctx context.Context, tx pgx.Tx, file string) (err error) {
	if s.key, err = loadKey(file); errors.Is(err, fs.ErrNotExist) {
		s.key, err = createKey(file)
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO secret_keys (id, proof) VALUES ($1, $2)", s.key.id, s.key.proof()); err != nil {
		return fmt.Errorf("record key of secrets: %w", err)
	}
	return nil
}

const proofText = "this key opens what it sealed"

func (k *Key) proof() []byte { return seal(k.aead, []byte(proofText), []byte("attune proof\x00"+k.id)) }

func (k *Key) proves(proof []byte) bool {
	text, err := open(k.aead, proof, []byte("attune proof\x00"+k.id))
	return err == nil && string(text) == proofText
}

// check sees for itself that what is stored is not the value, and that nothing opens in another's place.
func (s *Store) check() error {
	const canary = "attune self-check canary"
	e, err := s.key.sealEnvelope("check", 1, []byte(canary))
	if err != nil {
		return fmt.Errorf("open secrets: self-check: %w", err)
	}
	moved, err := s.key.openEnvelope("other", e)
	if err == nil || moved != nil || strings.Contains(string(e.Sealed), canary) {
		return fmt.Errorf("open secrets: self-check: encryption is not effective: %w", ErrSealed)
	}
	if _, err := s.key.openEnvelope("check", e); err != nil {
		return fmt.Errorf("open secrets: self-check: %w", err)
	}
	return nil
}

// Set gives a secret a value, the first or the next.
func (s *Store) Set(ctx context.Context, name string, value []byte) error {
	if !ValidName(name) {
		return fmt.Errorf("secret %.70q: %w", name, ErrBadName)
	}
	if len(value) == 0 || len(value) > MaxValue || !utf8.Valid(value) {
		return fmt.Errorf("secret %s: value of %d bytes, want 1 to %d of UTF-8: %w", name, len(value), MaxValue, ErrBadValue)
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.set(ctx, tx, name, value) })
	if err != nil {
		return fmt.Errorf("set secret %s: %w", name, err)
	}
	return nil
}

func (s *Store) set(ctx context.Context, tx pgx.Tx, name string, value []byte) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('attune secret ' || $1))", name); err != nil {
		return err
	}
	var version int64
	if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) + 1 FROM secrets WHERE name = $1", name).Scan(&version); err != nil {
		return err
	}
	e, err := s.key.sealEnvelope(name, version, value)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO secrets (name, version, key_id, wrapped_key, sealed) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET version = excluded.version, key_id = excluded.key_id,
			wrapped_key = excluded.wrapped_key, sealed = excluded.sealed,
			updated_at = greatest(now(), secrets.created_at)`,
		name, e.Version, e.KeyID, e.WrappedKey, e.Sealed)
	return err
}

// Get gives a secret's value, or ErrNotFound.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	values, err := s.Values(ctx, []string{name})
	return values[name], err
}

// Values gives the values of several secrets, or ErrNotFound with the names of all that do not exist.
func (s *Store) Values(ctx context.Context, names []string) (map[string][]byte, error) {
	rows, err := s.pool.Query(ctx, "SELECT name, version, key_id, wrapped_key, sealed FROM secrets WHERE name = ANY($1)", names)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	values := make(map[string][]byte, len(names))
	var name string
	var e envelope
	_, err = pgx.ForEachRow(rows, []any{&name, &e.Version, &e.KeyID, &e.WrappedKey, &e.Sealed}, func() error {
		values[name], err = s.key.openEnvelope(name, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	return values, allThere(names, values)
}

func allThere(names []string, values map[string][]byte) error {
	var missing []string
	for _, n := range names {
		if _, ok := values[n]; !ok {
			missing = append(missing, fmt.Sprintf("%.70q", n))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(missing, ", "), ErrNotFound)
	}
	return nil
}

// List gives what may be shown of all secrets, by name.
func (s *Store) List(ctx context.Context) ([]Info, error) {
	rows, err := s.pool.Query(ctx, "SELECT name, version, created_at, updated_at FROM secrets ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	infos, err := pgx.CollectRows(rows, pgx.RowToStructByName[Info])
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return infos, nil
}

// Delete removes a secret, or returns ErrNotFound.
func (s *Store) Delete(ctx context.Context, name string) error {
	tag, err := s.pool.Exec(ctx, "DELETE FROM secrets WHERE name = $1", name)
	if err != nil {
		return fmt.Errorf("delete secret %.70q: %w", name, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("secret %.70q: %w", name, ErrNotFound)
	}
	return nil
}
