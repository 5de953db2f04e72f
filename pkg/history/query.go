package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/attune/attune/streams"
)

// executionRow is an execution with the columns that its exported form nests.
type executionRow struct {
	Execution
	ErrorClass   string `db:"error_class"`
	ErrorMessage string `db:"error_message"`
	StdoutBytes  int64  `db:"stdout_bytes"`
	StderrBytes  int64  `db:"stderr_bytes"`
	Truncated    bool   `db:"output_truncated"`
	Held         bool   `db:"output_held"`
	LogBytes     int64  `db:"log_bytes"`
	StoredBytes  int64  `db:"stored_bytes"`
	Incomplete   bool   `db:"log_incomplete"`
	Dropped      int64  `db:"dropped_bytes"`
}

func (r executionRow) execution() Execution {
	e := r.Execution
	if r.ErrorClass != "" {
		e.Error = &streams.Error{Class: r.ErrorClass, Message: r.ErrorMessage}
	}
	e.Output = streams.Output{
		StdoutBytes: r.StdoutBytes, StderrBytes: r.StderrBytes, Truncated: r.Truncated, Held: r.Held,
		LogBytes: r.LogBytes, StoredBytes: r.StoredBytes, Incomplete: r.Incomplete, Dropped: r.Dropped,
	}
	e.ChangedAt, e.RequestedAt = e.ChangedAt.UTC(), e.RequestedAt.UTC()
	e.StartedAt, e.EndedAt, e.NotBefore = utc(e.StartedAt), utc(e.EndedAt), utc(e.NotBefore)
	e.LogSettledAt, e.LogRemovedAt = utc(e.LogSettledAt), utc(e.LogRemovedAt)
	if len(e.Previous) == 0 {
		e.Previous = nil
	}
	return e
}

// ListExecutions gives a page of the executions that the filter chooses, newest first. It returns
// ErrBadCursor or ErrBadFilter for what it cannot understand.
func (s *Store) ListExecutions(ctx context.Context, f ExecutionFilter, p Page) (Executions, error) {
	at, id, err := p.place()
	if err != nil {
		return Executions{}, fmt.Errorf("list executions: %w", err)
	}
	if f.Event != "" && !isUUID(f.Event) {
		return Executions{}, fmt.Errorf("list executions: event %.80q: %w", f.Event, ErrBadFilter)
	}
	rows, err := s.pool.Query(ctx, query("list_executions"), null(f.Action), f.Statuses, null(f.Rule), null(f.Event),
		nullTime(f.Since), nullTime(f.Until), at, id, f.Packs, p.limit()+1)
	if err != nil {
		return Executions{}, fmt.Errorf("list executions: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[executionRow])
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

// Execution gives one execution, whole. It returns ErrNotFound.
func (s *Store) Execution(ctx context.Context, id string) (Execution, error) {
	if !isUUID(id) {
		return Execution{}, fmt.Errorf("execution %.80q: %w", id, ErrNotFound)
	}
	rows, err := s.pool.Query(ctx, query("show_execution"), id)
	if err != nil {
		return Execution{}, fmt.Errorf("execution %s: %w", id, err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[executionRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return Execution{}, fmt.Errorf("execution %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Execution{}, fmt.Errorf("execution %s: %w", id, err)
	}
	return r.execution(), nil
}

// Exists tells which of the ids belong to executions that history knows. The facts of ended executions
// leave the bus; whoever requests an execution under a derived id asks here before doing so again.
func (s *Store) Exists(ctx context.Context, ids []string) (map[string]bool, error) {
	known := make(map[string]bool, len(ids))
	asked := make([]string, 0, len(ids))
	for _, id := range ids {
		if isUUID(id) {
			asked = append(asked, id)
		}
	}
	rows, err := s.pool.Query(ctx, `SELECT id::text FROM executions WHERE id = ANY ($1::text[]::uuid[])`, asked)
	if err != nil {
		return nil, fmt.Errorf("look for %d executions: %w", len(ids), err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for %d executions: %w", len(ids), err)
	}
	for _, id := range found {
		known[id] = true
	}
	return known, nil
}

// ListEvents gives a page of the events that the filter chooses, newest first and without their decisions.
// It returns ErrBadCursor for a cursor that it cannot understand.
func (s *Store) ListEvents(ctx context.Context, f EventFilter, p Page) (Events, error) {
	at, id, err := p.place()
	if err != nil {
		return Events{}, fmt.Errorf("list events: %w", err)
	}
	rows, err := s.pool.Query(ctx, query("list_events"), null(f.Trigger), null(string(f.Status)),
		nullTime(f.Since), nullTime(f.Until), at, id, f.Packs, p.limit()+1)
	if err != nil {
		return Events{}, fmt.Errorf("list events: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Event])
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

// Event gives one event with what every rule decided about it. It returns ErrNotFound.
func (s *Store) Event(ctx context.Context, id string) (Event, error) {
	if !isUUID(id) {
		return Event{}, fmt.Errorf("event %.80q: %w", id, ErrNotFound)
	}
	rows, err := s.pool.Query(ctx, query("show_event"), id)
	if err != nil {
		return Event{}, fmt.Errorf("event %s: %w", id, err)
	}
	e, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Event])
	if errors.Is(err, pgx.ErrNoRows) {
		return Event{}, fmt.Errorf("event %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Event{}, fmt.Errorf("event %s: %w", id, err)
	}
	e.inUTC()
	e.Decisions, err = s.decisions(ctx, id)
	return e, err
}

func (s *Store) decisions(ctx context.Context, event string) ([]Decision, error) {
	rows, err := s.pool.Query(ctx, query("decisions_of"), event)
	if err != nil {
		return nil, fmt.Errorf("decisions about event %s: %w", event, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[Decision])
	if err != nil {
		return nil, fmt.Errorf("decisions about event %s: %w", event, err)
	}
	for i := range out {
		out[i].DecidedAt = out[i].DecidedAt.UTC()
	}
	return out, nil
}

func (e *Event) inUTC() {
	e.Time, e.ReceivedAt, e.DecidedAt = e.Time.UTC(), e.ReceivedAt.UTC(), utc(e.DecidedAt)
}

func (p Page) limit() int {
	if p.Limit <= 0 {
		return DefaultLimit
	}
	return min(p.Limit, MaxLimit)
}

// place gives the cursor as arguments of a statement: both nil at the beginning.
func (p Page) place() (at *time.Time, id *string, err error) {
	c, err := decodeCursor(p.Cursor)
	if c == nil {
		return nil, nil, err
	}
	return &c.at, &c.id, nil
}

func isUUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}

func null(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
