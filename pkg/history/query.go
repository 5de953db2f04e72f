package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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

// Execution gives one execution, whole. It returns ErrNotFound. Of two that have one id, which are years apart, it gives
// the newer.
func (s *Store) Execution(ctx context.Context, id string) (Execution, error) {
	r, err := lookup[executionRow](ctx, s, "show_execution", id)
	if err != nil {
		return Execution{}, fmt.Errorf("execution %.80s: %w", id, err)
	}
	return r.execution(), nil
}

// lookup gives the row of an id. One that tells when it was made is looked for around that time first: every partition
// that is looked at costs.
func lookup[T any](ctx context.Context, s *Store, statement, id string) (row T, err error) {
	if !isUUID(id) {
		return row, ErrNotFound
	}
	if made, ok := madeAt(id); ok {
		row, err = lookupBetween[T](ctx, s, statement, id, made.Add(-skew), made.Add(skew))
		if !errors.Is(err, ErrNotFound) {
			return row, err
		}
	}
	return lookupBetween[T](ctx, s, statement, id, pgtype.Timestamptz{Valid: true, InfinityModifier: pgtype.NegativeInfinity}, pgtype.Timestamptz{Valid: true, InfinityModifier: pgtype.Infinity})
}

func lookupBetween[T any](ctx context.Context, s *Store, statement string, args ...any) (row T, err error) {
	rows, err := s.pool.Query(ctx, query(statement), args...)
	if err != nil {
		return row, err
	}
	row, err = pgx.CollectOneRow(rows, pgx.RowToStructByName[T])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return row, err
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
	rows, err := s.pool.Query(ctx, `SELECT DISTINCT id::text FROM executions WHERE id = ANY ($1::text[]::uuid[])`, asked)
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

// Event gives one event with what every rule decided about it. It returns ErrNotFound.
func (s *Store) Event(ctx context.Context, id string) (Event, error) {
	e, err := lookup[Event](ctx, s, "show_event", id)
	if err != nil {
		return Event{}, fmt.Errorf("event %.80s: %w", id, err)
	}
	e.inUTC()
	if e.Decisions, err = s.decisions(ctx, id, e.ReceivedAt); err != nil || e.RuleSet == "" {
		return e, err
	}
	set, err := s.RuleSet(ctx, e.RuleSet)
	if errors.Is(err, ErrNotFound) { // it is on its way
		return e, nil
	}
	e.Asked = &set
	e.Decisions = slices.DeleteFunc(e.Decisions, e.overruled)
	return e, err
}

// overruled tells whether the decision is not the last one: decided again, about what may have changed in between, the rule
// did not match.
func (e *Event) overruled(d Decision) bool {
	return e.DecidedAt != nil && d.DecidedAt.Before(*e.DecidedAt) &&
		slices.ContainsFunc(e.Asked.Rules, func(r streams.AskedRule) bool { return r.Rule == d.Rule })
}

func (s *Store) decisions(ctx context.Context, event string, at time.Time) ([]Decision, error) {
	rows, err := s.pool.Query(ctx, query("decisions_of"), event, at)
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
