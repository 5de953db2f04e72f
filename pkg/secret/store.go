package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

const (
	// MaxValue is the longest value, in bytes.
	MaxValue = 64 << 10
	// KeptVersions is how many versions of a secret are kept.
	KeptVersions = 10
	// MaxTTL is the longest life that a value may be given.
	MaxTTL = 10 * 365 * 24 * time.Hour
)

var (
	// ErrNotFound is returned when a secret does not exist, or its end has come.
	ErrNotFound = errors.New("secret not found")
	// ErrBadValue is returned when a value is empty, too long or not UTF-8.
	ErrBadValue = errors.New("not a valid value of a secret")
	// ErrBadTTL is returned when a life is negative or longer than MaxTTL.
	ErrBadTTL = errors.New("not a valid life of a secret")
)

// Info is what may be shown of a secret.
type Info struct {
	Owner     Owner
	Name      string
	Version   int64
	CreatedAt time.Time  // of the first version
	UpdatedAt time.Time  // of this one
	ExpiresAt *time.Time // nil: never
	Expired   bool       // as the database's clock has it; the value is not given any more
}

// Store keeps secrets in PostgreSQL. Its clock is that of the database.
type Store struct {
	pool  *pgxpool.Pool
	ring  *ring
	log   *slog.Logger
	every time.Duration
	nudge chan struct{} // has Run look after its work

	id, host string // of this process, for the others

	broken atomic.Int64 // versions that did not open when they were to be renewed
}

// Put gives a secret a value, the first or the next, for that long; 0 is for ever.
func (s *Store) Put(ctx context.Context, owner Owner, name string, value []byte, ttl time.Duration) (info Info, err error) {
	if err := owner.checkName(name); err != nil {
		return info, err
	}
	ref := Ref{owner, name}
	if len(value) == 0 || len(value) > MaxValue || !utf8.Valid(value) {
		return info, fmt.Errorf("secret %s: value of %d bytes, want 1 to %d of UTF-8: %w", ref, len(value), MaxValue, ErrBadValue)
	}
	if ttl < 0 || ttl > MaxTTL || ttl > 0 && ttl < time.Millisecond {
		return info, fmt.Errorf("secret %s: %s: %w", ref, ttl, ErrBadTTL)
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		info, err = s.put(ctx, tx, ref, value, ttl)
		return err
	})
	if err != nil {
		return Info{}, fmt.Errorf("set secret %s: %w", ref, err)
	}
	return info, nil
}

// put locks the secret's row, so that versions are counted one by one.
func (s *Store) put(ctx context.Context, tx pgx.Tx, ref Ref, value []byte, ttl time.Duration) (Info, error) {
	i := Info{Owner: ref.Owner, Name: ref.Name}
	err := tx.QueryRow(ctx, `INSERT INTO secrets (owner, name, version) VALUES ($1, $2, 1)
		ON CONFLICT (owner, name) DO UPDATE SET version = secrets.version + 1, updated_at = greatest(now(), secrets.created_at)
		RETURNING version, created_at, updated_at`, ref.Owner, ref.Name).Scan(&i.Version, &i.CreatedAt, &i.UpdatedAt)
	if err != nil {
		return i, err
	}
	if ttl > 0 {
		end := i.UpdatedAt.Add(ttl).Truncate(time.Microsecond)
		i.ExpiresAt = &end
	}
	e := envelope{Ref: ref, Version: i.Version, ExpiresAt: i.ExpiresAt}
	k, err := s.current(ctx, tx)
	if err != nil {
		return i, err
	}
	if err := e.fill(ctx, k, value); err != nil {
		return i, err
	}
	if err := insert(ctx, tx, e, i.UpdatedAt); err != nil {
		return i, err
	}
	_, err = tx.Exec(ctx, "DELETE FROM secret_versions WHERE owner = $1 AND name = $2 AND version <= $3", ref.Owner, ref.Name, i.Version-KeptVersions)
	return i, err
}

func insert(ctx context.Context, tx pgx.Tx, e envelope, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO secret_versions (owner, name, version, form, key_id, wrapped_key, sealed, created_at, keyed_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`,
		e.Owner, e.Name, e.Version, e.Form, e.KeyID, e.WrappedKey, e.Sealed, at, e.ExpiresAt)
	return err
}

// Get gives a secret's value, or ErrNotFound.
func (s *Store) Get(ctx context.Context, owner Owner, name string) ([]byte, error) {
	values, err := s.Values(ctx, []Owner{owner}, []string{name})
	return values[name], err
}

// Values gives the values of several secrets, each of the first of the owners that has one of that name, or
// ErrNotFound with the names of all that none has.
func (s *Store) Values(ctx context.Context, owners []Owner, names []string) (map[string][]byte, error) {
	found, err := s.find(ctx, owners, names)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	values, err := s.openAll(ctx, found)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	return values, allThere(names, values)
}

// openers is how many envelopes of one call are opened at once: each may take a way to another machine.
const openers = 8

func (s *Store) openAll(ctx context.Context, found map[string]envelope) (map[string][]byte, error) {
	var mu sync.Mutex // guards values
	values := make(map[string][]byte, len(found))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(openers)
	for name, e := range found {
		g.Go(func() error {
			value, err := s.value(ctx, e)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			values[name] = value
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return values, nil
}

// value opens an envelope with the key that it names.
func (s *Store) value(ctx context.Context, e envelope) ([]byte, error) {
	k, err := s.ring.find(ctx, e.KeyID)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", e.Ref, err)
	}
	return e.value(ctx, k)
}

const envelopeColumns = "v.owner, v.name, v.version, v.form, v.key_id, v.wrapped_key, v.sealed, v.expires_at"

func (e *envelope) fields() []any {
	return []any{&e.Owner, &e.Name, &e.Version, &e.Form, &e.KeyID, &e.WrappedKey, &e.Sealed, &e.ExpiresAt}
}

// find gives the envelopes of names, each of the first owner that has one.
func (s *Store) find(ctx context.Context, owners []Owner, names []string) (map[string]envelope, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+envelopeColumns+`
		FROM unnest($1::text[]) WITH ORDINALITY AS o (owner, place)
		JOIN secrets s ON s.owner = o.owner AND s.name = ANY($2)
		JOIN secret_versions v ON v.owner = s.owner AND v.name = s.name AND v.version = s.version
		WHERE v.expires_at IS NULL OR v.expires_at > now()
		ORDER BY o.place`, owners, names)
	if err != nil {
		return nil, err
	}
	found := make(map[string]envelope, len(names))
	for rows.Next() {
		var e envelope
		if err := rows.Scan(e.fields()...); err != nil {
			rows.Close()
			return nil, err
		}
		if _, ok := found[e.Name]; !ok {
			found[e.Name] = e
		}
	}
	return found, rows.Err()
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

// List gives what may be shown of all secrets, by owner and name, or of those of one owner. Those of executions are
// shown to nobody.
func (s *Store) List(ctx context.Context, owner Owner) ([]Info, error) {
	return s.infos(ctx, "s.owner NOT LIKE 'execution:%' AND ($1 = '' OR s.owner = $1) ORDER BY s.owner, s.name", owner)
}

// Info gives what may be shown of a secret, or ErrNotFound.
func (s *Store) Info(ctx context.Context, owner Owner, name string) (Info, error) {
	infos, err := s.infos(ctx, "s.owner = $1 AND s.name = $2", owner, name)
	if err == nil && len(infos) == 0 {
		return Info{}, fmt.Errorf("secret %.70q: %w", name, ErrNotFound)
	}
	if err != nil {
		return Info{}, err
	}
	return infos[0], nil
}

func (s *Store) infos(ctx context.Context, where string, args ...any) ([]Info, error) {
	rows, err := s.pool.Query(ctx, `SELECT s.owner, s.name, s.version, s.created_at, s.updated_at, v.expires_at,
			coalesce(v.expires_at <= now(), false) AS expired
		FROM secrets s JOIN secret_versions v USING (owner, name, version) WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	infos, err := pgx.CollectRows(rows, pgx.RowToStructByName[Info])
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return infos, nil
}

// Delete removes a secret with all versions, or returns ErrNotFound.
func (s *Store) Delete(ctx context.Context, owner Owner, name string) error {
	tag, err := s.pool.Exec(ctx, "DELETE FROM secrets WHERE owner = $1 AND name = $2", owner, name)
	if err != nil {
		return fmt.Errorf("delete secret %.70q: %w", name, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("secret %.70q: %w", name, ErrNotFound)
	}
	return nil
}

// DeleteOwner removes all secrets of an owner; that there are none is no error.
func (s *Store) DeleteOwner(ctx context.Context, owner Owner) error {
	if _, err := s.pool.Exec(ctx, "DELETE FROM secrets WHERE owner = $1", owner); err != nil {
		return fmt.Errorf("delete secrets of %.70q: %w", string(owner), err)
	}
	return nil
}
