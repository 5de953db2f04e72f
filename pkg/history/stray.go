package history

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
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

// span is the time between two moments, with them.
type span struct{ since, until time.Time }

// spanOf gives the time in which what has this id may be known, when it is now said to be of that time. An id of version
// 7 tells when it was made.
func spanOf(id string, at time.Time) span {
	made, ok := madeAt(id)
	if !ok {
		return span{at.Add(-memory), at.Add(memory)}
	}
	if made.After(at) {
		made, at = at, made
	}
	return span{made.Add(-skew), at.Add(skew)}
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

// said is under which times things are kept, as it is said of them now.
type said struct {
	what  string // events or executions
	ids   []string
	at    []time.Time
	fresh bool // most of them are not known yet
}

// strays tells which of them are known under another time, and not under the one that is said.
func (s said) strays(ctx context.Context, q querier) (known map[int]time.Time, err error) {
	known, places := map[int]time.Time{}, make([]int, len(s.ids))
	for i := range places {
		places[i] = i
	}
	if !s.fresh { // most are where they are said to be, which is found soon
		there, err := s.look(ctx, q, "known_", places, momentOf)
		if err != nil {
			return nil, err
		}
		places = slices.DeleteFunc(places, func(i int) bool { _, ok := there[i]; return ok })
	}
	if len(places) == 0 {
		return known, nil
	}
	found, err := s.look(ctx, q, "kept_", places, spanOf)
	if err != nil {
		return nil, err
	}
	for i, at := range found {
		if !at.Equal(s.at[i]) {
			known[i] = at
		}
	}
	return known, nil
}

// look gives the times under which those at some places are known, within the time that all of their spans take.
func (s said) look(ctx context.Context, q querier, statement string, places []int, within func(id string, at time.Time) span) (map[int]time.Time, error) {
	n := len(places)
	ids, at := room[pgtype.Text](n), room[pgtype.Timestamptz](n)
	var all span
	for _, i := range places {
		ids, at = append(ids, exactly(s.ids[i])), append(at, moment(s.at[i]))
		w := within(s.ids[i], s.at[i])
		if len(ids) == 1 || w.since.Before(all.since) {
			all.since = w.since
		}
		if len(ids) == 1 || w.until.After(all.until) {
			all.until = w.until
		}
	}
	rows, err := q.Query(ctx, query(statement+s.what), plannedAnew, ids, at, all.since, all.until)
	if err != nil {
		return nil, err
	}
	known := make(map[int]time.Time, n)
	var place int
	var when time.Time
	_, err = pgx.ForEachRow(rows, []any{&place, &when}, func() error {
		known[places[place-1]] = when.UTC()
		return nil
	})
	return known, err
}

// plannedAnew has a statement planned each time. The database keeps the plan of a prepared one when it looks no worse than
// others, and one that was made for a partition with a thousand rows reads all of them for each id, also when they are a
// hundred thousand.
const plannedAnew = pgx.QueryExecModeCacheDescribe

// momentOf is the time that is said, as a span.
func momentOf(_ string, at time.Time) span { return span{at, at} }

// sqlEventsLock makes those who write events, and what was decided about them, take turns: of two messages with one id
// that come at the same moment the second is to see the first. Executions need no such thing. A second request of
// one is on the bus only after everything of the first has left it, and that is long after it was recorded.
const sqlEventsLock = "SELECT pg_advisory_xact_lock(hashtext('attune history events'))"

// placeEvents gives the times under which those events are kept: of an event that is known the one that it has, or,
// when that is later, the one that is said now, to which it moves. Fresh ones are mostly not known.
func placeEvents(ctx context.Context, tx pgx.Tx, ids []string, at []time.Time, fresh bool) error {
	if _, err := tx.Exec(ctx, sqlEventsLock); err != nil {
		return err
	}
	known, err := said{what: "events", ids: ids, at: at, fresh: fresh}.strays(ctx, tx)
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
