package history

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Executions, events and decisions are kept in partitions of a week, Monday to Sunday in UTC. A day would make a year into
// 365 partitions, each of which a look by a derived id, and the planner, has to touch; a month would keep everything
// for up to a month longer than asked.
const (
	week = 7 * 24 * time.Hour
	// ahead is how many weeks there are partitions for.
	ahead = 4
	// behind is how far back the gap is filled that a recorder which was away has left.
	behind = 53
	// lockPatience bounds how long a change of partitions waits for those who read or write: everybody else waits
	// behind it.
	lockPatience = time.Second
)

// ErrBusy is returned when partitions cannot be changed for now, since somebody reads or writes for long.
var ErrBusy = errors.New("history is in use")

// Partition is one of the tables that executions, events or decisions are made of.
type Partition struct {
	Table        string
	Since, Until time.Time
}

// MakePartitions makes the partitions of the present week and the next ones, and tells how many tables it made. Several
// may do so at once. Nothing depends on it: rows without a partition go to the default one, and move when
// theirs is made. It returns ErrBusy.
func (s *Store) MakePartitions(ctx context.Context, now time.Time) (made int, err error) {
	there, err := s.Partitions(ctx, "executions")
	if err != nil {
		return 0, err
	}
	first := weekOf(now)
	if n := len(there); n > 0 && there[n-1].Until.Before(first) && first.Sub(there[n-1].Until) <= behind*week {
		first = there[n-1].Until
	}
	have := map[time.Time]bool{}
	for _, p := range there {
		have[p.Since] = true
	}
	for w := first; !w.After(now.Add(ahead * week)); w = w.Add(week) {
		if have[w] {
			continue
		}
		var n int
		err := s.Exclusively(ctx, func(tx pgx.Tx) error { return tx.QueryRow(ctx, "SELECT make_history_partitions($1)", w).Scan(&n) })
		if err != nil {
			return made, fmt.Errorf("make partitions of the week of %s: %w", w.Format(time.DateOnly), err)
		}
		made += n
	}
	return made, nil
}

// weekOf gives the Monday of a time's week.
func weekOf(t time.Time) time.Time {
	day := t.UTC().Truncate(24 * time.Hour)
	return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
}

// Partitions lists the partitions of a table, oldest first, without the default one.
func (s *Store) Partitions(ctx context.Context, table string) ([]Partition, error) {
	rows, err := s.pool.Query(ctx, query("partitions"), table)
	if err != nil {
		return nil, fmt.Errorf("list partitions of %s: %w", table, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Partition])
	if err != nil {
		return nil, fmt.Errorf("list partitions of %s: %w", table, err)
	}
	for i := range all {
		all[i].Since, all[i].Until = all[i].Since.UTC(), all[i].Until.UTC()
	}
	return all, nil
}

// Exclusively runs a transaction that takes locks which others have to wait for, and gives up with ErrBusy rather than
// wait long for them.
func (s *Store) Exclusively(ctx context.Context, do func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", strconv.FormatInt(lockPatience.Milliseconds(), 10)); err != nil {
			return err
		}
		return do(tx)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01") { // lock not available, deadlock
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}
