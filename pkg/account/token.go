package account

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Token is what may be shown of an API token.
type Token struct {
	ID   string
	Name string
	Rights
	CreatedAt  time.Time
	CreatedBy  string
	ExpiresAt  *time.Time // nil: never
	RevokedAt  *time.Time
	RevokedBy  string
	LastUsedAt *time.Time // to the minute
}

// NewToken says which token is wanted.
type NewToken struct {
	Name string
	Rights
	ExpiresAt *time.Time
	By        string
}

// tokenRow is a token as it is stored.
type tokenRow struct {
	ID         string     `db:"id"`
	Name       string     `db:"name"`
	Hash       []byte     `db:"hash"`
	Role       string     `db:"role"`
	Packs      []string   `db:"packs"`
	Grants     []string   `db:"grants"`
	CreatedAt  time.Time  `db:"created_at"`
	CreatedBy  string     `db:"created_by"`
	ExpiresAt  *time.Time `db:"expires_at"`
	RevokedAt  *time.Time `db:"revoked_at"`
	RevokedBy  string     `db:"revoked_by"`
	LastUsedAt *time.Time `db:"last_used_at"`
}

const tokenColumns = `id, name, hash, role, packs, grants, created_at, created_by, expires_at, revoked_at, revoked_by, last_used_at`

func (r tokenRow) token() (Token, error) {
	t := Token{
		ID: r.ID, Name: r.Name, CreatedAt: r.CreatedAt.UTC(), CreatedBy: r.CreatedBy, ExpiresAt: utc(r.ExpiresAt),
		RevokedAt: utc(r.RevokedAt), RevokedBy: r.RevokedBy, LastUsedAt: utc(r.LastUsedAt),
	}
	var err error
	if t.Rights, err = rightsOf(r.Role, r.Packs, r.Grants); err != nil {
		return t, fmt.Errorf("token %s: %w", r.Name, err)
	}
	return t, nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// CreateToken makes a token and gives it with its text, which nobody will see again. It returns ErrExists while another
// of the name is good.
func (s *Store) CreateToken(ctx context.Context, n NewToken) (Token, string, error) {
	if err := n.check(time.Now()); err != nil {
		return Token{}, "", err
	}
	c := newCredential()
	var row tokenRow
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// One that has expired makes room for the next of its name.
		if _, err := tx.Exec(ctx, `UPDATE api_tokens SET revoked_at = now(), revoked_by = $2
			WHERE name = $1 AND revoked_at IS NULL AND expires_at <= now()`, n.Name, n.By); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `INSERT INTO api_tokens (id, name, hash, role, packs, grants, created_by, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING `+tokenColumns,
			c.id, n.Name, c.hash(), string(n.Role), n.Rights.packs(), n.texts(), n.By, n.ExpiresAt)
		if err != nil {
			return err
		}
		row, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[tokenRow])
		return err
	})
	if taken(err) {
		return Token{}, "", fmt.Errorf("token %s: %w", n.Name, ErrExists)
	}
	if err != nil {
		return Token{}, "", fmt.Errorf("create token %s: %w", n.Name, err)
	}
	t, err := row.token()
	return t, TokenPrefix + c.String(), err
}

func (n NewToken) check(now time.Time) error {
	switch {
	case !tokenName.MatchString(n.Name):
		return fmt.Errorf("token %.80q: %w", n.Name, ErrName)
	case n.Role == "" && len(n.Grants) == 0:
		return fmt.Errorf("token %s: %w", n.Name, ErrNoRights)
	case n.ExpiresAt != nil && !n.ExpiresAt.After(now):
		return fmt.Errorf("token %s: %w", n.Name, ErrExpired)
	}
	if err := n.Rights.check(); err != nil {
		return fmt.Errorf("token %s: %w", n.Name, err)
	}
	return nil
}

// Tokens gives all that were not revoked, by name.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	rows, err := collect[tokenRow](ctx, s.pool, "list tokens", `SELECT `+tokenColumns+` FROM api_tokens WHERE revoked_at IS NULL ORDER BY name`)
	if err != nil {
		return nil, err
	}
	out := make([]Token, len(rows))
	for i, r := range rows {
		if out[i], err = r.token(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// RevokeToken ends a token. It returns ErrNotFound when none of the name is good.
func (s *Store) RevokeToken(ctx context.Context, name, by string) (Token, error) {
	rows, err := collect[tokenRow](ctx, s.pool, "revoke token "+name,
		`UPDATE api_tokens SET revoked_at = now(), revoked_by = $2 WHERE name = $1 AND revoked_at IS NULL RETURNING `+tokenColumns, name, by)
	if err != nil {
		return Token{}, err
	}
	if len(rows) == 0 {
		return Token{}, fmt.Errorf("token %.80q: %w", name, ErrNotFound)
	}
	return rows[0].token()
}

// Touch remembers that tokens were used at a time.
func (s *Store) Touch(ctx context.Context, ids []string, at time.Time) error {
	_, err := s.pool.Exec(ctx, `UPDATE api_tokens SET last_used_at = $2 WHERE id = ANY ($1) AND (last_used_at IS NULL OR last_used_at < $2)`,
		ids, at.Truncate(time.Minute))
	if err != nil {
		return fmt.Errorf("remember the use of %d tokens: %w", len(ids), err)
	}
	return nil
}
