package history

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Rows are kept by time, and their unique keys hold it: the time of a request or of an event's arrival. It is the same
// in everything that is said of one execution or event, with two exceptions: an execution that is requested again when
// neither bus nor history could tell that it was known, and an event that is published again under its id. Each of
// them keeps one row: what is written is looked for under other times first.
const (
	// memory is how far apart in time two such messages are still found to be about the same thing. Every partition in
	// that time costs a look for each new row.
	memory = 90 * 24 * time.Hour
	// skew is how far clocks, and the moments at which an id and its request are made, may be apart.
	skew = 24 * time.Hour
)

// span gives the time in which what has this id may be known, when it is now said to be of that time. An id of version
// 7 tells when it was made.
func span(id string, at time.Time) (since, until time.Time) {
	made, ok := madeAt(id)
	if !ok {
		return at.Add(-memory), at.Add(memory)
	}
	if made.After(at) {
		made, at = at, made
	}
	return made.Add(-skew), at.Add(skew)
}

// madeAt tells when an id of version 7 was made.
func madeAt(id string) (time.Time, bool) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return time.Time{}, false
	}
	return time.Unix(u.Time().UnixTime()).UTC(), true
}

// querier is the pool, or a transaction on it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// strays tells which of the ids are known under another time than the one that is said of them now.
func strays(ctx context.Context, q querier, statement string, ids []string, at []time.Time) (known map[int]time.Time, err error) {
	since, until := make([]time.Time, len(ids)), make([]time.Time, len(ids))
	for i, id := range ids {
		since[i], until[i] = span(id, at[i])
	}
	rows, err := q.Query(ctx, query(statement), ids, at, since, until)
	if err != nil {
		return nil, err
	}
	known = map[int]time.Time{}
	var n int
	var when time.Time
	_, err = pgx.ForEachRow(rows, []any{&n, &when}, func() error {
		known[n-1] = when.UTC()
		return nil
	})
	return known, err
}

// sqlEventsLock makes those who write events, and what was decided about them, take turns: of two messages with one id
// that come at the same moment the second is to see the first. Executions need no such thing. A second request of
// one is on the bus only after everything of the first has left it, and that is long after it was recorded.
const sqlEventsLock = "SELECT pg_advisory_xact_lock(hashtext('attune history events'))"

// placeEvents gives the times under which those events are kept: of an event that is known the one that it has, or,
// when that is later, the one that is said now, to which it moves.
func placeEvents(ctx context.Context, tx pgx.Tx, ids []string, at []time.Time) error {
	if _, err := tx.Exec(ctx, sqlEventsLock); err != nil {
		return err
	}
	known, err := strays(ctx, tx, "stray_events", ids, at)
	if err != nil {
		return err
	}
	for i, was := range known {
		if !at[i].Before(was) {
			at[i] = was
			continue
		}
		for _, statement := range []string{
			`UPDATE events SET received_at = $3, time = CASE WHEN projected THEN time ELSE $3 END WHERE id = $1::uuid AND received_at = $2`,
			`UPDATE decisions SET event_at = $3 WHERE event_id = $1::uuid AND event_at = $2`,
		} {
			if _, err := tx.Exec(ctx, statement, ids[i], was, at[i]); err != nil {
				return fmt.Errorf("move event %s: %w", ids[i], err)
			}
		}
	}
	return nil
}
