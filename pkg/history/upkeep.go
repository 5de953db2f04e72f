package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Rejected is a message that cannot become history.
type Rejected struct {
	Stream     string
	Seq        uint64
	Subject    string
	ReceivedAt time.Time
	Reason     string
	Data       []byte
}

// Reject keeps a note, and the first bytes, of messages that cannot become history.
func (s *Store) Reject(ctx context.Context, messages []Rejected) error {
	batch := &pgx.Batch{}
	for _, m := range messages {
		batch.Queue(`INSERT INTO rejected_messages (stream, seq, received_at, subject, reason, data, size)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			m.Stream, int64(m.Seq), micro(m.ReceivedAt), clean(m.Subject), clean(m.Reason), bounded(m.Data), len(m.Data))
	}
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("note %d rejected messages: %w", len(messages), err)
	}
	return nil
}

// IsRefusal tells whether the database, or the table of statuses, refuses what it was given: the same would
// be refused for ever. Other errors mean that the database is away or busy.
func IsRefusal(err error) bool {
	if errors.Is(err, ErrTransition) || errors.Is(err, ErrUnreadable) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return false
	}
	switch pg.Code[:2] {
	case "22", "23", "54": // data exception, integrity constraint violation, program limit exceeded
		return true
	}
	return false
}

// Leftover is an ended execution whose facts are still on the stream.
type Leftover struct {
	ID          string    `db:"id"`
	RequestedAt time.Time `db:"requested_at"`
	Seqs        []int64   `db:"fact_seqs"`
}

// Leftovers lists executions whose end has been in the database for longer than the grace and whose facts are
// still on that stream, oldest first.
func (s *Store) Leftovers(ctx context.Context, epoch int64, grace time.Duration, limit int) ([]Leftover, error) {
	rows, err := s.pool.Query(ctx, query("leftovers"), epoch, grace, limit)
	if err != nil {
		return nil, fmt.Errorf("list leftovers: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[Leftover])
	if err != nil {
		return nil, fmt.Errorf("list leftovers: %w", err)
	}
	return out, nil
}

// Swept notes that those facts are no longer on the stream.
func (s *Store) Swept(ctx context.Context, epoch int64, gone []Leftover) error {
	ids, seqs, at := make([]string, 0, len(gone)), make([]string, 0, len(gone)), make([]time.Time, 0, len(gone))
	for _, l := range gone {
		ids, seqs, at = append(ids, l.ID), append(seqs, array(l.Seqs)), append(at, l.RequestedAt)
	}
	if _, err := s.pool.Exec(ctx, query("swept"), ids, seqs, epoch, at); err != nil {
		return fmt.Errorf("note that facts of %d executions are gone: %w", len(gone), err)
	}
	return nil
}

// ForgetOlder notes that facts on streams older than that one are gone: it took their place.
func (s *Store) ForgetOlder(ctx context.Context, epoch int64) error {
	_, err := s.pool.Exec(ctx, `UPDATE executions SET fact_seqs = '{}'
		WHERE ended_at IS NOT NULL AND fact_seqs <> '{}' AND stream_epoch < $1`, epoch)
	if err != nil {
		return fmt.Errorf("forget facts of older streams: %w", err)
	}
	return nil
}

// Unannounced lists ended executions whose end is still to become an event, oldest first.
func (s *Store) Unannounced(ctx context.Context, limit int) ([]Execution, error) {
	rows, err := s.pool.Query(ctx, query("unannounced"), limit)
	if err != nil {
		return nil, fmt.Errorf("list unannounced ends: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[executionRow])
	if err != nil {
		return nil, fmt.Errorf("list unannounced ends: %w", err)
	}
	out := make([]Execution, 0, len(found))
	for _, r := range found {
		out = append(out, r.execution())
	}
	return out, nil
}

// Announced notes that the ends of those attempts have become events.
func (s *Store) Announced(ctx context.Context, ended []Execution) error {
	ids, attempts, at := make([]string, 0, len(ended)), make([]int, 0, len(ended)), make([]time.Time, 0, len(ended))
	for _, e := range ended {
		ids, attempts, at = append(ids, e.ID), append(attempts, e.Attempt), append(at, e.RequestedAt)
	}
	_, err := s.pool.Exec(ctx, `UPDATE executions AS e SET announced_attempt = greatest(e.announced_attempt, f.attempt)
		FROM unnest($1::text[], $2::integer[], $3::timestamptz[]) AS f (id, attempt, requested_at)
		WHERE e.id = f.id::uuid AND e.requested_at = f.requested_at`, ids, attempts, at)
	if err != nil {
		return fmt.Errorf("note %d announced ends: %w", len(ended), err)
	}
	return nil
}
