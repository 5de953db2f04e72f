package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says what a Store works with.
type Config struct {
	DB      *pgxpool.Pool
	Sources []Source      // of keys; new ones come from the first alone
	Logger  *slog.Logger  // nil: none
	Every   time.Duration // how often the Store's own work is looked after; 0: DefaultEvery
}

// DefaultEvery is how often a Store looks after its keys.
const DefaultEvery = 10 * time.Second

// Open opens the store of a database whose migrations have been applied, with the keys in a file. See OpenWith.
func Open(ctx context.Context, pool *pgxpool.Pool, file string) (*Store, error) {
	return OpenWith(ctx, Config{DB: pool, Sources: []Source{KeyFile(file)}})
}

// OpenWith opens the store of a database whose migrations have been applied. The first time it takes the newest key,
// or makes it in a file. Later it returns ErrKeyMissing or ErrKeyWrong when a key that something is sealed with is
// not there: it never makes a second one. It has proved when it returns that values are sealed, and open.
func OpenWith(ctx context.Context, c Config) (*Store, error) {
	s := &Store{pool: c.DB, ring: &ring{sources: c.Sources}, log: c.Logger, every: c.Every, id: uuid.NewString(), nudge: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.every == 0 {
		s.every = DefaultEvery
	}
	s.host, _ = os.Hostname() // only to say where a key is missing
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := s.ring.load(ctx); err != nil {
		return err
	}
	if err := s.withKeys(ctx, s.agree); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		k, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		if err := check(ctx, k); err != nil {
			return fmt.Errorf("self-check with key %s: %w", k.ID(), err)
		}
		return nil
	})
}

// withKeys does something while nobody else changes which keys there are.
func (s *Store) withKeys(ctx context.Context, do func(context.Context, pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('attune secret keys'))"); err != nil {
			return fmt.Errorf("lock keys of secrets: %w", err)
		}
		return do(ctx, tx)
	})
}

// agree finds that this process has every key that is needed, and says so to the others.
func (s *Store) agree(ctx context.Context, tx pgx.Tx) error {
	type needed struct {
		ID    string
		Proof []byte
	}
	rows, err := tx.Query(ctx, `SELECT id, proof FROM secret_keys k
		WHERE state = 'current' OR EXISTS (SELECT FROM secret_versions v WHERE v.key_id = k.id) ORDER BY state`)
	if err != nil {
		return fmt.Errorf("read keys of secrets: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[needed])
	if err != nil {
		return fmt.Errorf("read keys of secrets: %w", err)
	}
	if len(keys) == 0 {
		if err := s.begin(ctx, tx); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if err := s.prove(ctx, k.ID, k.Proof); err != nil {
			return err
		}
	}
	return s.beat(ctx, tx)
}

// begin records the first key. A file without a record is left by a start that died in between.
func (s *Store) begin(ctx context.Context, tx pgx.Tx) error {
	k, err := s.ring.newest(ctx, "")
	if err != nil {
		return err
	}
	return record(ctx, tx, k, stateCurrent)
}

// record makes a key known to all. What it seals proves at every start that the right one is there.
func record(ctx context.Context, tx pgx.Tx, k Wrapper, state string) error {
	proof, err := k.Wrap(ctx, []byte(proofText), boundToProof(k.ID()))
	if err != nil {
		return fmt.Errorf("try key %s: %w", k.ID(), err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO secret_keys (id, proof, state) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, changed_at = now()`, k.ID(), proof, state)
	if err != nil {
		return fmt.Errorf("record key of secrets: %w", err)
	}
	return nil
}

const proofText = "this key opens what it sealed"

func boundToProof(id string) []byte { return []byte("attune proof\x00" + id) }

// prove returns ErrKeyMissing or ErrKeyWrong when this process does not have the key that made a proof.
func (s *Store) prove(ctx context.Context, id string, proof []byte) error {
	k, err := s.ring.find(ctx, id)
	if err != nil {
		return err
	}
	text, err := k.Unwrap(ctx, proof, boundToProof(id))
	if errors.Is(err, ErrSealed) || err == nil && string(text) != proofText {
		return fmt.Errorf("%w: what %s calls key %s is not the key that secrets are sealed with", ErrKeyWrong, s.ring, id)
	}
	return err
}

// check sees for itself that what is stored is not the value, and that nothing opens in another's place.
func check(ctx context.Context, k Wrapper) error {
	const canary = "attune self-check canary"
	e := envelope{Ref: Ref{Global, "check"}, Version: 1}
	if err := e.fill(ctx, k, []byte(canary)); err != nil {
		return err
	}
	moved := e
	moved.Name = "other"
	value, err := moved.value(ctx, k)
	if err == nil || value != nil || strings.Contains(string(e.Sealed), canary) {
		return fmt.Errorf("encryption is not effective: %w", ErrSealed)
	}
	if !errors.Is(err, ErrSealed) {
		return err
	}
	if value, err = e.value(ctx, k); err != nil || string(value) != canary {
		return errors.Join(ErrSealed, err)
	}
	return nil
}
