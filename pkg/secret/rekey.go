package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/pkg/failpoint"
)

// States of a key-encryption key. A key only ever goes on in this order, or back to next when it is asked for.
const (
	stateNext    = "next"    // every process must have it before anything is wrapped with it
	stateCurrent = "current" // data keys are wrapped with it
	stateOld     = "old"     // some still are
	stateRetired = "retired" // nothing is
)

// Rekey has all secrets go over to another key-encryption key: that of the id, else the newest of the first source,
// which is made there when that can be done. It returns when that is decided; Run does it. Until every living process
// has the key nothing is wrapped with it. When a change is on its way, and no id is given, it goes on.
func (s *Store) Rekey(ctx context.Context, id string) error {
	if err := s.withKeys(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.appoint(ctx, tx, id) }); err != nil {
		return fmt.Errorf("change the key of secrets: %w", err)
	}
	defer s.wake()
	if err := errors.Join(s.beat(ctx, s.pool), s.advance(ctx)); err != nil {
		return fmt.Errorf("change the key of secrets: %w", err)
	}
	return nil
}

// appoint records which key is the next.
func (s *Store) appoint(ctx context.Context, tx pgx.Tx, id string) error {
	states, err := keyStates(ctx, tx)
	if err != nil {
		return err
	}
	k, err := s.candidate(ctx, states, id)
	if k == nil || err != nil {
		return err
	}
	if err := check(ctx, k); err != nil {
		return fmt.Errorf("try key %s: %w", k.ID(), err)
	}
	if _, err := tx.Exec(ctx, "UPDATE secret_keys SET state = 'old', changed_at = now() WHERE state = 'next'"); err != nil {
		return err
	}
	return record(ctx, tx, k, stateNext)
}

// candidate gives the key to go over to; none when a change is on its way already.
func (s *Store) candidate(ctx context.Context, states map[string]string, id string) (Wrapper, error) {
	switch {
	case id != "" && states[id] == stateCurrent:
		return nil, fmt.Errorf("%w: %s is the current one", ErrNoNewKey, id)
	case id != "":
		return s.ring.find(ctx, id)
	}
	current := ""
	for k, state := range states {
		switch state {
		case stateNext:
			return nil, s.ring.load(ctx)
		case stateCurrent:
			current = k
		}
	}
	k, err := s.ring.newest(ctx, current)
	if err != nil {
		return nil, err
	}
	if state, used := states[k.ID()]; used {
		return nil, fmt.Errorf("%w: %s begins with %s, which is %s; add one in front of it, or name it to go back to it", ErrNoNewKey, s.ring.sources[0], k.ID(), state)
	}
	return k, nil
}

func keyStates(ctx context.Context, db querier) (map[string]string, error) {
	rows, err := db.Query(ctx, "SELECT id, state FROM secret_keys")
	if err != nil {
		return nil, fmt.Errorf("read keys of secrets: %w", err)
	}
	states := map[string]string{}
	var id, state string
	_, err = pgx.ForEachRow(rows, []any{&id, &state}, func() error { states[id] = state; return nil })
	if err != nil {
		return nil, fmt.Errorf("read keys of secrets: %w", err)
	}
	return states, nil
}

// advance makes the next key the current one when every living process has it. One that starts at this moment waits
// for the lock, and does not start without the key.
func (s *Store) advance(ctx context.Context) error {
	return s.withKeys(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var id string
		var proof []byte
		err := tx.QueryRow(ctx, "SELECT id, proof FROM secret_keys WHERE state = 'next'").Scan(&id, &proof)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read keys of secrets: %w", err)
		}
		missing, err := lacking(ctx, tx, id)
		if err != nil || len(missing) > 0 {
			return err
		}
		if err := s.prove(ctx, id, proof); err != nil {
			return err
		}
		return s.activate(ctx, tx, id)
	})
}

func (s *Store) activate(ctx context.Context, tx pgx.Tx, id string) error {
	for _, change := range []string{"'old', changed_at = now() WHERE state = 'current'", "'current', changed_at = now() WHERE state = 'next'"} {
		if _, err := tx.Exec(ctx, "UPDATE secret_keys SET state = "+change); err != nil {
			return fmt.Errorf("go over to key %s: %w", id, err)
		}
	}
	failpoint.Hit(failpoint.SecretsActivating)
	s.log.InfoContext(ctx, "secrets go over to a new key", slog.String("key", id))
	return nil
}

// retire marks the keys that nothing is wrapped with any more.
func (s *Store) retire(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, `UPDATE secret_keys k SET state = 'retired', changed_at = now()
		WHERE state = 'old' AND NOT EXISTS (SELECT FROM secret_versions v WHERE v.key_id = k.id) RETURNING id`)
	if err != nil {
		return fmt.Errorf("retire keys of secrets: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("retire keys of secrets: %w", err)
	}
	for _, id := range ids {
		s.log.InfoContext(ctx, "nothing is sealed with a key of secrets any more", slog.String("key", id))
	}
	return nil
}

// maxChanges is how often the current key may change under one who looks for it.
const maxChanges = 5

// current gives the key that data keys are to be wrapped with, which stays that until tx ends.
func (s *Store) current(ctx context.Context, tx pgx.Tx) (Wrapper, error) {
	for range maxChanges {
		var id string
		err := tx.QueryRow(ctx, "SELECT id FROM secret_keys WHERE state = 'current' FOR SHARE").Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			continue // it changed while this waited for the row, and is another row now
		}
		if err != nil {
			return nil, fmt.Errorf("read keys of secrets: %w", err)
		}
		return s.ring.find(ctx, id)
	}
	return nil, fmt.Errorf("%w: none is current", ErrKeyMissing)
}
