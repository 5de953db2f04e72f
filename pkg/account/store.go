package account

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/access"
)

var (
	// ErrExists is returned when the name is taken.
	ErrExists = errors.New("the name is taken")
	// ErrNotFound is returned when there is no token or user of that name.
	ErrNotFound = errors.New("not found")
	// ErrName is returned for a text that can be no name.
	ErrName = errors.New("not a valid name")
	// ErrNoRights is returned for a token that could do nothing.
	ErrNoRights = errors.New("neither a role nor a grant is given")
	// ErrExpired is returned for an expiry that is not in the future.
	ErrExpired = errors.New("the expiry is not in the future")
	// ErrRefused is returned for a sign-in that does not prove who it is.
	ErrRefused = errors.New("name or password is wrong")
)

// Store keeps tokens, users and sessions in PostgreSQL.
type Store struct {
	pool *pgxpool.Pool
}

// New gives a store on a database whose migrations have been applied.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Rights is what a token or a user was given.
type Rights struct {
	Role   access.Role    `json:"role,omitempty"`
	Packs  []string       `json:"packs,omitempty"`  // where the role holds; everywhere when empty
	Grants []access.Grant `json:"grants,omitempty"` // besides
}

// All gives every grant.
func (r Rights) All() ([]access.Grant, error) {
	if r.Role == "" {
		return slices.Clone(r.Grants), nil
	}
	all, err := r.Role.Grants(r.Packs...)
	return append(all, r.Grants...), err
}

func (r Rights) check() error {
	if r.Role == "" && len(r.Packs) > 0 {
		return fmt.Errorf("%w: packs bound a role, and none is given", access.ErrRole)
	}
	_, err := r.All()
	return err
}

// texts gives the grants as they are stored, never nil.
func (r Rights) texts() []string {
	out := make([]string, len(r.Grants))
	for i, g := range r.Grants {
		out[i] = g.String()
	}
	return out
}

func (r Rights) packs() []string {
	if r.Packs == nil {
		return []string{}
	}
	return r.Packs
}

func parseGrants(texts []string) ([]access.Grant, error) {
	out := make([]access.Grant, len(texts))
	for i, text := range texts {
		if err := out[i].UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Names of tokens and of users. A user's may be an address.
var (
	tokenName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	userName  = regexp.MustCompile(`^[a-z][a-z0-9_.@-]{0,126}$`)
)

// taken tells a violation of uniqueness.
func taken(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return ok && answer.Code == "23505"
}

// Revision tells which state is the latest, at a fraction of the cost of reading it.
func (s *Store) Revision(ctx context.Context) (revision int64, err error) {
	err = s.pool.QueryRow(ctx, "SELECT revision FROM access_revision").Scan(&revision)
	if err != nil {
		return 0, fmt.Errorf("revision of who may do what: %w", err)
	}
	return revision, nil
}

func collect[R any](ctx context.Context, db interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, what, sql string, args ...any,
) ([]R, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[R])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
}
