package history

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ListExecutions gives a page of the executions that the filter chooses, newest first. It returns
// ErrBadCursor or ErrBadFilter for what it cannot understand.
func (s *Store) ListExecutions(ctx context.Context, f ExecutionFilter, p Page) (Executions, error) {
	found, err := list[executionRow](ctx, s, "list_executions", f.page, p)
	if err != nil {
		return Executions{}, fmt.Errorf("list executions: %w", err)
	}
	var out Executions
	for _, r := range found[:min(len(found), p.limit())] {
		out.Items = append(out.Items, r.execution())
	}
	if len(found) > p.limit() {
		last := out.Items[p.limit()-1]
		out.Next, err = cursor{at: last.RequestedAt, id: last.ID}.encode()
	}
	return out, err
}

// ListEvents gives a page of the events that the filter chooses, newest first and without their decisions.
// It returns ErrBadCursor for a cursor that it cannot understand.
func (s *Store) ListEvents(ctx context.Context, f EventFilter, p Page) (Events, error) {
	found, err := list[Event](ctx, s, "list_events", f.page, p)
	if err != nil {
		return Events{}, fmt.Errorf("list events: %w", err)
	}
	out := Events{Items: found[:min(len(found), p.limit())]}
	for i := range out.Items {
		out.Items[i].inUTC()
	}
	if len(found) > p.limit() {
		last := out.Items[p.limit()-1]
		out.Next, err = cursor{at: last.ReceivedAt, id: last.ID}.encode()
	}
	return out, err
}

// list gives the rows of a page, and one more when there is another page.
func list[T any](ctx context.Context, s *Store, statement string, page func(*selection, Page) (string, error), p Page) ([]T, error) {
	var q selection
	keys, err := page(&q, p)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(query(statement), keys), q.args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// page gives the statement of the keys of a page.
func (f ExecutionFilter) page(q *selection, p Page) (string, error) {
	if f.Event != "" && !isUUID(f.Event) {
		return "", fmt.Errorf("event %.80q: %w", f.Event, ErrBadFilter)
	}
	q.text("action", f.Action)
	q.text("rule", f.Rule)
	q.text("event_id", f.Event)
	q.since("requested_at", f.Since)
	q.until("requested_at", f.Until)
	if err := q.behind("requested_at", p); err != nil {
		return "", err
	}
	packs, statuses := q.packs("action", f.Action, f.Packs), statusesOf(f.Statuses)
	if f.Event != "" || f.Rule != "" {
		q.together(packs)
		packs = nil
	}
	return q.page("executions", "requested_at", p.limit()+1, packs, statuses), nil
}

func (f EventFilter) page(q *selection, p Page) (string, error) {
	q.text("trigger", f.Trigger)
	q.since("received_at", f.Since)
	q.until("received_at", f.Until)
	if f.Status != "" {
		q.where = append(q.where, eventStatus(f.Status))
	}
	if err := q.behind("received_at", p); err != nil {
		return "", err
	}
	return q.page("events", "received_at", p.limit()+1, q.packs("trigger", f.Trigger, f.Packs), nil), nil
}

func (f UnfinishedFilter) page(q *selection, p Page) (string, error) {
	err := f.choose(q, p)
	return q.page("executions", "requested_at", p.limit()+1, nil, statusesOf(unfinished(f.Statuses))), err
}

// choose adds all conditions but the one on the status.
func (f UnfinishedFilter) choose(q *selection, p Page) error {
	q.text("action", f.Action)
	q.text("rule", f.Rule)
	q.until("requested_at", f.Before)
	q.together(q.packs("action", f.Action, f.Packs))
	return q.behind("requested_at", p)
}
