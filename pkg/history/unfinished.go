package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/streams"
)

// Unfinished lists the executions that history has not seen end, oldest first.
func (s *Store) Unfinished(ctx context.Context) ([]Unfinished, error) {
	rows, err := s.pool.Query(ctx, `SELECT id::text, action, status, attempt FROM executions
		WHERE status IN ('requested', 'running', 'canceling') ORDER BY requested_at, id`)
	if err != nil {
		return nil, fmt.Errorf("list unfinished executions: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[Unfinished])
	if err != nil {
		return nil, fmt.Errorf("list unfinished executions: %w", err)
	}
	return out, nil
}

// unfinishedAt is an unfinished execution with its place in the order of lists.
type unfinishedAt struct {
	Unfinished
	RequestedAt time.Time `db:"requested_at"`
}

// ListUnfinished gives a page of the executions that the filter chooses, newest first, and the cursor of the next
// page. It returns ErrBadCursor.
func (s *Store) ListUnfinished(ctx context.Context, f UnfinishedFilter, p Page) (items []Unfinished, next string, err error) {
	found, err := list[unfinishedAt](ctx, s, "list_unfinished", f.page, p)
	if err != nil {
		return nil, "", fmt.Errorf("list unfinished executions: %w", err)
	}
	for _, r := range found[:min(len(found), p.limit())] {
		items = append(items, r.Unfinished)
	}
	if len(found) > p.limit() {
		last := found[p.limit()-1]
		next, err = cursor{at: last.RequestedAt, id: last.ID}.encode()
	}
	return items, next, err
}

// CountUnfinished counts the executions that the filter chooses, from the page's cursor on. It returns ErrBadCursor.
func (s *Store) CountUnfinished(ctx context.Context, f UnfinishedFilter, p Page) (int, error) {
	var q selection
	if err := f.choose(&q, p); err != nil {
		return 0, fmt.Errorf("count unfinished executions: %w", err)
	}
	statuses := statusesOf(unfinished(f.Statuses))[0]
	q.where = append(q.where, statuses.within)
	q.together(statuses)
	var n int
	if err := s.pool.QueryRow(ctx, "SELECT count(*) FROM executions WHERE "+strings.Join(q.where, " AND "), q.args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count unfinished executions: %w", err)
	}
	return n, nil
}

// unfinished gives those of the statuses that are not ends; nil means all of them.
func unfinished(chosen []streams.Status) []streams.Status {
	some := []streams.Status{}
	for _, s := range []streams.Status{streams.Requested, streams.Running, streams.Canceling} {
		if chosen == nil || slices.Contains(chosen, s) {
			some = append(some, s)
		}
	}
	return some
}
