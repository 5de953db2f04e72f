package account

import (
	"context"
	"fmt"
	"time"

	"github.com/attune/attune/pkg/access"
)

// User is what may be shown of a user.
type User struct {
	Name string
	Rights
	CreatedAt   time.Time
	CreatedBy   string
	Disabled    bool
	HasPassword bool
	Issuer      string // who says that it is this user, when it signs in elsewhere; else ""
}

// NewUser says which user is wanted.
type NewUser struct {
	Name     string
	Password string // "" for a user without: it cannot sign in with one
	Rights
	By string
}

type userRow struct {
	Name      string    `db:"name"`
	Password  *string   `db:"password"`
	Issuer    string    `db:"issuer"`
	Role      string    `db:"role"`
	Packs     []string  `db:"packs"`
	Grants    []string  `db:"grants"`
	CreatedAt time.Time `db:"created_at"`
	CreatedBy string    `db:"created_by"`
	Disabled  bool      `db:"disabled"`
}

const userColumns = `name, password, issuer, role, packs, grants, created_at, created_by, disabled`

func (r userRow) user() (User, error) {
	u := User{
		Name: r.Name, CreatedAt: r.CreatedAt.UTC(), CreatedBy: r.CreatedBy, Disabled: r.Disabled, HasPassword: r.Password != nil, Issuer: r.Issuer,
	}
	var err error
	if u.Rights, err = rightsOf(r.Role, r.Packs, r.Grants); err != nil {
		return u, fmt.Errorf("user %s: %w", r.Name, err)
	}
	return u, nil
}

func rightsOf(role string, packs, grants []string) (Rights, error) {
	r := Rights{Role: access.Role(role)}
	if len(packs) > 0 {
		r.Packs = packs
	}
	all, err := parseGrants(grants)
	if len(all) > 0 {
		r.Grants = all
	}
	return r, err
}

// CreateUser makes a user. It returns ErrExists, ErrName or ErrPassword.
func (s *Store) CreateUser(ctx context.Context, n NewUser) (User, error) {
	if !userName.MatchString(n.Name) {
		return User{}, fmt.Errorf("user %.80q: %w", n.Name, ErrName)
	}
	if err := n.Rights.check(); err != nil {
		return User{}, fmt.Errorf("user %s: %w", n.Name, err)
	}
	hash, err := optionalHash(ctx, n.Password)
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", n.Name, err)
	}
	rows, err := collect[userRow](ctx, s.pool, "create user "+n.Name, `INSERT INTO users (name, password, role, packs, grants, created_by)
		VALUES ($1, $2, $3, $4, $5, $6) RETURNING `+userColumns, n.Name, hash, string(n.Role), n.Rights.packs(), n.texts(), n.By)
	if taken(err) {
		return User{}, fmt.Errorf("user %s: %w", n.Name, ErrExists)
	}
	if err != nil {
		return User{}, err
	}
	return rows[0].user()
}

func optionalHash(ctx context.Context, password string) (*string, error) {
	if password == "" {
		return nil, nil //nolint:nilnil // no password is what it says
	}
	hash, err := HashPassword(ctx, password)
	return &hash, err
}

// Users gives all users, by name.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	rows, err := collect[userRow](ctx, s.pool, "list users", `SELECT `+userColumns+` FROM users ORDER BY name`)
	if err != nil {
		return nil, err
	}
	out := make([]User, len(rows))
	for i, r := range rows {
		if out[i], err = r.user(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// SetPassword gives a user another password, and ends all of its sessions.
func (s *Store) SetPassword(ctx context.Context, name, password string) (User, error) {
	hash, err := HashPassword(ctx, password)
	if err != nil {
		return User{}, fmt.Errorf("user %.80q: %w", name, err)
	}
	return s.changeUser(ctx, name, `WITH ended AS (DELETE FROM sessions WHERE user_name = $1)
		UPDATE users SET password = $2 WHERE name = $1 RETURNING `+userColumns, hash)
}

// SetDisabled keeps a user out, or lets it in again. Its sessions end.
func (s *Store) SetDisabled(ctx context.Context, name string, disabled bool) (User, error) {
	return s.changeUser(ctx, name, `WITH ended AS (DELETE FROM sessions WHERE user_name = $1)
		UPDATE users SET disabled = $2 WHERE name = $1 RETURNING `+userColumns, disabled)
}

// SetRights says anew what a user may do.
func (s *Store) SetRights(ctx context.Context, name string, r Rights) (User, error) {
	if err := r.check(); err != nil {
		return User{}, fmt.Errorf("user %.80q: %w", name, err)
	}
	return s.changeUser(ctx, name, `UPDATE users SET role = $2, packs = $3, grants = $4 WHERE name = $1 RETURNING `+userColumns,
		string(r.Role), r.packs(), r.texts())
}

func (s *Store) changeUser(ctx context.Context, name, sql string, args ...any) (User, error) {
	rows, err := collect[userRow](ctx, s.pool, "change user "+name, sql, append([]any{name}, args...)...)
	if err != nil {
		return User{}, err
	}
	if len(rows) == 0 {
		return User{}, fmt.Errorf("user %.80q: %w", name, ErrNotFound)
	}
	return rows[0].user()
}
