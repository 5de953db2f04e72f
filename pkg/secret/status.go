package secret

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// KeyInfo is what may be shown of a key-encryption key.
type KeyInfo struct {
	ID        string
	State     string // next, current, old or retired
	Wraps     int64  // data keys
	CreatedAt time.Time
	ChangedAt time.Time // when it came into this state
	Here      bool      // this process has it
}

// KeyStatus is how the keys stand, and how far a change of them is.
type KeyStatus struct {
	Keys         []KeyInfo // the current one, then the next, then the others, the newest first
	Lacking      []Holder  // the processes that the next key waits for
	Broken       int64     // versions that did not open when this process last walked over them
	RotateBefore *time.Time
	ToRotate     int64 // data keys older than that
}

// Left is how many versions are not yet as they are to be.
func (k KeyStatus) Left() int64 {
	left := k.ToRotate
	for _, one := range k.Keys {
		if one.State != stateCurrent {
			left += one.Wraps
		}
	}
	return left
}

// Keys tells how the keys stand.
func (s *Store) Keys(ctx context.Context) (st KeyStatus, err error) {
	if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.readKeys(ctx, tx, &st) }); err != nil {
		return KeyStatus{}, fmt.Errorf("keys of secrets: %w", err)
	}
	st.Broken = s.broken.Load()
	here := s.ring.ids()
	for i, k := range st.Keys {
		st.Keys[i].Here = slices.Contains(here, k.ID)
	}
	return st, nil
}

func (s *Store) readKeys(ctx context.Context, tx pgx.Tx, st *KeyStatus) error {
	rows, err := tx.Query(ctx, `SELECT k.id, k.state, (SELECT count(*) FROM secret_versions v WHERE v.key_id = k.id), k.created_at, k.changed_at, false
		FROM secret_keys k ORDER BY array_position('{current,next,old,retired}', k.state), k.created_at DESC`)
	if err != nil {
		return err
	}
	if st.Keys, err = pgx.CollectRows(rows, pgx.RowToStructByPos[KeyInfo]); err != nil {
		return err
	}
	err = tx.QueryRow(ctx, "SELECT before, (SELECT count(*) FROM secret_versions v WHERE v.keyed_at < before) FROM secret_rotation").Scan(&st.RotateBefore, &st.ToRotate)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	for _, k := range st.Keys {
		if k.State == stateNext {
			st.Lacking, err = lacking(ctx, tx, k.ID)
			return err
		}
	}
	return nil
}
