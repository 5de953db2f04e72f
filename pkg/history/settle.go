package history

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Unsettled is an ended execution whose log may still have to be completed from what its runner left.
type Unsettled struct {
	ID          string    `db:"id"`
	RequestedAt time.Time `db:"requested_at"`
	Action      string    `db:"action"`
	EndedAt     time.Time `db:"ended_at"`
}

// Unsettled lists ended executions whose log is not settled, oldest first: those behind after, from the beginning
// when that is the zero value.
func (s *Store) Unsettled(ctx context.Context, after Unsettled, limit int) ([]Unsettled, error) {
	rows, err := s.pool.Query(ctx, query("unsettled"), nullTime(after.EndedAt), null(after.ID), limit)
	if err != nil {
		return nil, fmt.Errorf("list unsettled logs: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[Unsettled])
	if err != nil {
		return nil, fmt.Errorf("list unsettled logs: %w", err)
	}
	return out, nil
}

// SettledLog is what a log was found to be.
type SettledLog struct {
	Bytes      int64 // of both streams
	Stored     int64 // what it takes in the object store
	Incomplete bool  // some of it is missing for good
}

// Settle notes that nothing will be added to the log of an ended execution. The first to say so is right.
func (s *Store) Settle(ctx context.Context, u Unsettled, log SettledLog) error {
	_, err := s.pool.Exec(ctx, `UPDATE executions SET log_settled_at = now(), log_bytes = $2, stored_bytes = $3, log_incomplete = $4
		WHERE id = $1 AND requested_at = $5 AND ended_at IS NOT NULL AND log_settled_at IS NULL`, u.ID, log.Bytes, log.Stored, log.Incomplete, u.RequestedAt)
	if err != nil {
		return fmt.Errorf("settle log of execution %s: %w", u.ID, err)
	}
	return nil
}
