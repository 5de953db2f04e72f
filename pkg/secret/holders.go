package secret

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	holderLife   = "1 minute" // without a sign of life a process does not hinder a new key any more
	holderMemory = "1 hour"   // and after that it is forgotten
	leaveTimeout = 5 * time.Second
)

// Holder is a process that reads secrets.
type Holder struct {
	ID   string
	Host string
	Keys []string // their ids
}

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// beat tells the others that this process is there, and which keys it has.
func (s *Store) beat(ctx context.Context, db execer) error {
	_, err := db.Exec(ctx, `INSERT INTO secret_holders (id, host, keys) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET keys = excluded.keys, seen_at = now()`, s.id, s.host, s.ring.ids())
	if err != nil {
		return fmt.Errorf("say which keys are here: %w", err)
	}
	return nil
}

// leave takes this process off the list.
func (s *Store) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if _, err := s.pool.Exec(ctx, "DELETE FROM secret_holders WHERE id = $1", s.id); err != nil {
		return fmt.Errorf("say that no keys are here any more: %w", err)
	}
	return nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// lacking gives the living processes that do not have a key.
func lacking(ctx context.Context, db querier, key string) ([]Holder, error) {
	rows, err := db.Query(ctx, "SELECT id, host, keys FROM secret_holders WHERE seen_at > now() - interval '"+holderLife+"' ORDER BY host, id")
	if err != nil {
		return nil, fmt.Errorf("read which keys are where: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Holder])
	if err != nil {
		return nil, fmt.Errorf("read which keys are where: %w", err)
	}
	return slices.DeleteFunc(all, func(h Holder) bool { return slices.Contains(h.Keys, key) }), nil
}
