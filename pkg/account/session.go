package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// SignIn proves a user by a password. It returns ErrRefused, after the same time whether there is such a user or not.
func (s *Store) SignIn(ctx context.Context, name, password string) error {
	var hash *string
	var disabled bool
	err := s.pool.QueryRow(ctx, `SELECT password, disabled FROM users WHERE name = $1`, name).Scan(&hash, &disabled)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("sign in user %.80q: %w", name, err)
	}
	stored := ""
	if hash != nil {
		stored = *hash
	}
	ok, err := checkPassword(ctx, password, stored)
	if err != nil {
		return fmt.Errorf("sign in user %.80q: %w", name, err)
	}
	if !ok || disabled {
		return ErrRefused
	}
	return nil
}

// OpenSession makes a session of a user and gives its text, which nobody will see again.
func (s *Store) OpenSession(ctx context.Context, user string, lasts time.Duration) (string, time.Time, error) {
	c := newCredential()
	expires := time.Now().UTC().Add(lasts).Truncate(time.Second)
	done, err := s.pool.Exec(ctx, `WITH old AS (DELETE FROM sessions WHERE expires_at <= now())
		INSERT INTO sessions (id, hash, user_name, expires_at) SELECT $1, $2, name, $4 FROM users WHERE name = $3 AND NOT disabled`,
		c.id, c.hash(), user, expires)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("open session of user %.80q: %w", user, err)
	}
	if done.RowsAffected() == 0 {
		return "", time.Time{}, ErrRefused // it was disabled just now
	}
	return c.String(), expires, nil
}

// EndSession ends a session; one that has ended already is as good.
func (s *Store) EndSession(ctx context.Context, id string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM sessions WHERE id = $1`, id); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}
