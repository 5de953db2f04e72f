package retention

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/history"
)

//go:embed sql/*.sql
var queries embed.FS

// query gives the statement of a file; a missing one is a fault of the program.
func query(name string) string {
	b, err := queries.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(fmt.Sprintf("retention: statement %s: %v", name, err))
	}
	return string(b)
}

// pageRows is how many of the logs that may go are read at once.
const pageRows = 1_000

// Total is what some logs are together.
type Total struct {
	Logs   int64     `json:"logs"`
	Bytes  int64     `json:"bytes"`
	Oldest time.Time `json:"oldest,omitzero"` // when its execution ended
	Newest time.Time `json:"newest,omitzero"`
}

func (t *Total) add(o Total) {
	if t.Oldest.IsZero() || o.Oldest.Before(t.Oldest) {
		t.Oldest = o.Oldest
	}
	if o.Newest.After(t.Newest) {
		t.Newest = o.Newest
	}
	t.Logs += o.Logs
	t.Bytes += o.Bytes
}

// Log is a log that is to go.
type Log struct {
	ID          string    `db:"id"`
	RequestedAt time.Time `db:"requested_at"`
	Action      string    `db:"action"`
	EndedAt     time.Time `db:"ended_at"`
	Size        int64     `db:"size"`
	By          string    `db:"-"` // the bound that it is beyond
}

// place is where a page ends, in the order of time and id.
type place struct {
	at *time.Time
	id *string
}

// Plan is which logs are to go by some policies, as of one moment.
type Plan struct {
	pool     *pgxpool.Pool
	policies Policies
	now      time.Time

	Kept map[string]Total // what there is before, by action
	left map[string]Total // of that, what is not yet to go
	all  Total            // of all actions
}

// MakePlan adds up what there is, a partition at a time: others find room between them.
func MakePlan(ctx context.Context, pool *pgxpool.Pool, p Policies, now time.Time) (*Plan, error) {
	plan := &Plan{pool: pool, policies: p, now: now, Kept: map[string]Total{}}
	parts, err := history.New(pool).Partitions(ctx, "executions")
	if err != nil {
		return nil, fmt.Errorf("add up logs: %w", err)
	}
	for _, part := range append(parts, history.Partition{Table: "executions_default"}) {
		if err := plan.addUp(ctx, part.Table); err != nil {
			return nil, fmt.Errorf("add up logs in %s: %w", part.Table, err)
		}
	}
	plan.left = maps.Clone(plan.Kept)
	return plan, nil
}

// addUp adds the logs of a partition. One that has been dropped meanwhile had none.
func (p *Plan) addUp(ctx context.Context, table string) error {
	rows, err := p.pool.Query(ctx, fmt.Sprintf(query("totals"), identifiers([]string{table})))
	if err != nil {
		return err
	}
	var action string
	var one Total
	_, err = pgx.ForEachRow(rows, []any{&action, &one.Logs, &one.Bytes, &one.Oldest, &one.Newest}, func() error {
		sum := p.Kept[action]
		sum.add(one)
		p.Kept[action] = sum
		p.all.add(one)
		return nil
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" {
		return nil
	}
	return err
}

// Logs gives the logs that are to go: first what each action's own policy says, then what is too old, then the oldest
// of all, as long as there are too many or they take too much. It reads the table again, and each log comes once.
func (p *Plan) Logs(ctx context.Context) iter.Seq2[Log, error] {
	return func(yield func(Log, error) bool) {
		gone := map[string]Log{} // the last that an action's own policy took
		for _, action := range slices.Sorted(maps.Keys(p.policies.Actions)) {
			if p.left[action].Logs == 0 {
				continue
			}
			if !p.ofAction(ctx, action, gone, yield) {
				return
			}
		}
		if p.tooOld(ctx, gone, yield) {
			p.tooMany(ctx, gone, yield)
		}
	}
}

// take gives a log out, and leaves it out of what is left.
func (p *Plan) take(l Log, by string, yield func(Log, error) bool) bool {
	l.By = by
	sum := p.left[l.Action]
	sum.Logs, sum.Bytes = sum.Logs-1, sum.Bytes-l.Size
	p.left[l.Action] = sum
	p.all.Logs, p.all.Bytes = p.all.Logs-1, p.all.Bytes-l.Size
	return yield(l, nil)
}

// ofAction takes what an action's own policy does not keep: the oldest of its logs, up to one.
func (p *Plan) ofAction(ctx context.Context, action string, gone map[string]Log, yield func(Log, error) bool) bool {
	policy := p.policies.Actions[action]
	for l, err := range p.walk(ctx, query("oldest_of"), action) {
		if err != nil {
			return yield(Log{}, err) && false
		}
		bound := policy.beyond(p.left[action], l, p.now)
		if bound == "" {
			return true
		}
		gone[action] = l
		if !p.take(l, policy.says(bound, true), yield) {
			return false
		}
	}
	return true
}

// beyond tells which bound the oldest of some logs is beyond; "" for none.
func (p Policy) beyond(left Total, oldest Log, now time.Time) string {
	switch {
	case p.Age > 0 && oldest.EndedAt.Before(now.Add(-p.Age)):
		return byAge
	case p.Count > 0 && left.Logs > p.Count:
		return byCount
	case p.Bytes > 0 && left.Bytes > p.Bytes:
		return byBytes
	}
	return ""
}

// tooOld takes what is beyond the age for all, of actions that have none of their own.
func (p *Plan) tooOld(ctx context.Context, gone map[string]Log, yield func(Log, error) bool) bool {
	policy := Policy{Age: p.policies.Logs.Age}
	for l, err := range p.walk(ctx, query("oldest"), "") {
		if err != nil {
			return yield(Log{}, err) && false
		}
		if policy.beyond(Total{}, l, p.now) == "" {
			return true
		}
		if p.policies.Actions[l.Action].Age > 0 || l.taken(gone) {
			continue
		}
		if !p.take(l, policy.says(byAge, false), yield) {
			return false
		}
	}
	return true
}

// tooMany takes the oldest of all while there are more, or they take more, than is to be kept of all.
func (p *Plan) tooMany(ctx context.Context, gone map[string]Log, yield func(Log, error) bool) {
	policy := Policy{Count: p.policies.Logs.Count, Bytes: p.policies.Logs.Bytes}
	if policy.beyond(p.all, Log{}, p.now) == "" {
		return
	}
	for l, err := range p.walk(ctx, query("oldest"), "") {
		if err != nil {
			yield(Log{}, err)
			return
		}
		bound := policy.beyond(p.all, l, p.now)
		if bound == "" {
			return
		}
		old := Policy{Age: p.policies.Logs.Age}.beyond(Total{}, l, p.now) != "" && p.policies.Actions[l.Action].Age == 0
		if old || l.taken(gone) {
			continue
		}
		if !p.take(l, policy.says(bound, false), yield) {
			return
		}
	}
}

// taken tells whether an action's own policy has taken a log, given the last of each action that it has.
func (l Log) taken(gone map[string]Log) bool {
	last, ok := gone[l.Action]
	return ok && (l.EndedAt.Before(last.EndedAt) || l.EndedAt.Equal(last.EndedAt) && l.ID <= last.ID)
}

// walk gives the logs that are kept, of one action or all, oldest first, a page at a time.
func (p *Plan) walk(ctx context.Context, statement, action string) iter.Seq2[Log, error] {
	return func(yield func(Log, error) bool) {
		for at := (place{}); ; {
			args := []any{at.at, at.id, pageRows}
			if action != "" {
				args = append(args, action)
			}
			rows, err := p.pool.Query(ctx, statement, args...)
			var found []Log
			if err == nil {
				found, err = pgx.CollectRows(rows, pgx.RowToStructByName[Log])
			}
			if err != nil {
				yield(Log{}, fmt.Errorf("list logs: %w", err))
				return
			}
			for _, l := range found {
				if !yield(l, nil) {
					return
				}
			}
			if len(found) < pageRows {
				return
			}
			last := found[len(found)-1]
			at = place{&last.EndedAt, &last.ID}
		}
	}
}
