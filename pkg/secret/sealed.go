package secret

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrDiffers is returned when an execution has other values already.
var ErrDiffers = errors.New("other values are sealed for this execution")

// Seal keeps the values that came with the request of an execution, all or none. It may be repeated with the same
// values for ever; with others it returns ErrDiffers, and those that came first stay.
func (s *Store) Seal(ctx context.Context, execution string, values map[string]string) error {
	owner := OfExecution(execution)
	for name, value := range values {
		if err := owner.checkName(name); err != nil {
			return err
		}
		if value == "" || len(value) > MaxValue {
			return fmt.Errorf("secret %s: value of %d bytes, want 1 to %d: %w", Ref{owner, name}, len(value), MaxValue, ErrBadValue)
		}
	}
	for {
		known, err := s.sealed(ctx, owner, values)
		if err == nil && !known {
			err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.seal(ctx, tx, owner, values) })
		}
		switch {
		case errors.Is(err, errMeanwhile):
			continue
		case err != nil:
			return fmt.Errorf("seal secrets of %s: %w", owner, err)
		}
		return nil
	}
}

// errMeanwhile is returned when somebody else was first.
var errMeanwhile = errors.New("sealed meanwhile")

// seal looks and writes under a lock, with nothing but its own connection.
func (s *Store) seal(ctx context.Context, tx pgx.Tx, owner Owner, values map[string]string) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('attune seal ' || $1))", string(owner)); err != nil {
		return err
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM secrets WHERE owner = $1)", owner).Scan(&there); err != nil {
		return err
	}
	if there {
		return errMeanwhile
	}
	for name, value := range values {
		if _, err := s.put(ctx, tx, Ref{owner, name}, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// IsSealed tells whether values are sealed for an execution. It returns ErrDiffers when others are.
func (s *Store) IsSealed(ctx context.Context, execution string, values map[string]string) (bool, error) {
	known, err := s.sealed(ctx, OfExecution(execution), values)
	if err != nil {
		return false, fmt.Errorf("sealed secrets of execution %s: %w", execution, err)
	}
	return known, nil
}

func (s *Store) sealed(ctx context.Context, owner Owner, values map[string]string) (known bool, err error) {
	var names []string
	rows, err := s.pool.Query(ctx, "SELECT name FROM secrets WHERE owner = $1", owner)
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil || len(names) == 0 {
		return false, err
	}
	there, err := s.Values(ctx, []Owner{owner}, names)
	if err != nil {
		return false, err
	}
	same := len(there) == len(values)
	for name, value := range values {
		same = subtle.ConstantTimeCompare(there[name], []byte(value)) == 1 && same
		clear(there[name])
	}
	if !same {
		return false, ErrDiffers
	}
	return true, nil
}

// Owning gives which of the owners a name's value would come from, the first that has one; ErrNotFound for none. It
// opens nothing.
func (s *Store) Owning(ctx context.Context, owners []Owner, name string) (Owner, error) {
	found, err := s.find(ctx, owners, []string{name})
	if err != nil {
		return "", fmt.Errorf("look for secret %.70q: %w", name, err)
	}
	e, ok := found[name]
	if !ok {
		return "", fmt.Errorf("%.70q: %w", name, ErrNotFound)
	}
	return e.Owner, nil
}
