package history

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/attune/attune/streams"
)

// selection is the conditions of a list, put together from static pieces of SQL: one for each filter that is there. A
// condition that tests whether its filter is there at all would hide from the planner which index serves.
type selection struct {
	where []string
	args  []any
}

// arg gives the place of an argument.
func (q *selection) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// text adds a condition on a column, unless the filter is empty.
func (q *selection) text(column, v string) {
	if v != "" {
		q.where = append(q.where, column+" = "+q.arg(v))
	}
}

// since and until bound a time, unless they are zero.
func (q *selection) since(column string, t time.Time) {
	if !t.IsZero() {
		q.where = append(q.where, column+" >= "+q.arg(t))
	}
}

func (q *selection) until(column string, t time.Time) {
	if !t.IsZero() {
		q.where = append(q.where, column+" < "+q.arg(t))
	}
}

// behind leaves out what stands before the page, newest first. The first condition says no more than the second; it is
// the one by which partitions are left out.
func (q *selection) behind(column string, p Page) error {
	c, err := decodeCursor(p.Cursor)
	if c == nil {
		return err
	}
	at := q.arg(c.at)
	q.where = append(q.where, column+" <= "+at, "("+column+", id) < ("+at+", "+q.arg(c.id)+"::uuid)")
	return nil
}

// packs chooses those whose reference, "pack.name", is in one of the packs; nil means any. What an index walks pack by
// pack it leaves to the walk.
func (q *selection) packs(column, ref string, packs []string) (one *oneOf) {
	if packs == nil {
		return nil
	}
	if ref != "" {
		name, _, _ := strings.Cut(ref, ".")
		if !slices.Contains(packs, name) {
			q.where = append(q.where, "false")
		}
		return nil
	}
	return &oneOf{column: "split_part(" + column + ", '.', 1)", values: slices.Compact(slices.Sorted(slices.Values(packs)))}
}

// oneOf is a condition that one of several values fulfils.
type oneOf struct {
	column string
	within string // a condition that all the values fulfil, of values that are not anybody's text
	values []string
}

// together makes one condition of it, where an index leaves few rows in any case.
func (q *selection) together(o *oneOf) {
	if o != nil {
		q.where = append(q.where, o.column+" = ANY ("+q.arg(o.values)+"::text[])")
	}
}

// The statuses by the index that knows them. Conditions on them are literals, for else the planner could not see that an
// index serves which has only some.
var statusGroups = []oneOf{
	{column: "status", within: "status IN ('requested', 'running', 'canceling')", values: []string{"requested", "running", "canceling"}},
	{column: "status", within: "status = 'succeeded'", values: []string{"succeeded"}},
	{column: "status", within: "status IN ('failed', 'timed_out', 'canceled', 'lost')", values: []string{"failed", "timed_out", "canceled", "lost"}},
}

// statusesOf gives those of the statuses that exist, by group; nil means any.
func statusesOf(chosen []streams.Status) (groups []*oneOf) {
	if chosen == nil {
		return nil
	}
	for _, g := range statusGroups {
		some := g
		some.values = slices.DeleteFunc(slices.Clone(g.values), func(s string) bool { return !slices.Contains(chosen, streams.Status(s)) })
		if len(some.values) > 0 {
			groups = append(groups, &some)
		}
	}
	if len(groups) == 0 {
		groups = []*oneOf{{column: "status", within: "false"}}
	}
	return groups
}

// eventStatus gives the condition on an event's status; one that does not exist chooses nothing.
func eventStatus(s streams.EventStatus) string {
	switch s {
	case streams.EventReceived, streams.EventDecided, streams.EventRejected:
		return "status = '" + string(s) + "'"
	}
	return "false"
}

// page gives the rows of a page, newest first: of each group of statuses, if there are any, and of each pack the newest
// along an index, and of these the newest. The limit is a literal: the planner takes an unknown one for a tenth of the
// table, and would plan anew each time, which takes longer than the page.
func (q *selection) page(table, column string, limit int, packs *oneOf, groups []*oneOf) string {
	newest := " ORDER BY " + column + " DESC, id DESC LIMIT " + strconv.Itoa(limit)
	if len(groups) == 0 {
		groups = []*oneOf{nil}
	}
	var walks []string
	for _, g := range groups {
		walks = append(walks, "("+q.walk(table, newest, packs, g)+")")
	}
	return "(SELECT * FROM (" + strings.Join(walks, " UNION ALL ") + ") AS walks" + newest + ")"
}

// array gives the values: those of statuses as literals, for the planner takes an array that it does not know for a long one.
func (q *selection) array(o *oneOf) string {
	if o.within == "" {
		return q.arg(o.values) + "::text[]"
	}
	return "ARRAY['" + strings.Join(o.values, "', '") + "']::text[]"
}

// walk gives the newest rows of each combination of the alternatives. Several values of one column have no common order
// in an index, so each is walked along on its own.
func (q *selection) walk(table, newest string, alternatives ...*oneOf) string {
	from, where := []string(nil), append([]string{"true"}, q.where...)
	for _, o := range alternatives {
		if o == nil {
			continue
		}
		if o.within != "" {
			where = append(where, o.within)
		}
		if len(o.values) == 1 && o.within != "" {
			where = append(where, o.column+" = '"+o.values[0]+"'")
			continue
		}
		if len(o.values) == 1 {
			where = append(where, o.column+" = "+q.arg(o.values[0]))
			continue
		}
		name := "one" + strconv.Itoa(len(where))
		from = append(from, "unnest("+q.array(o)+") AS "+name+" (value)")
		where = append(where, o.column+" = "+name+".value")
	}
	rows := "SELECT * FROM " + table + " WHERE " + strings.Join(where, " AND ") + newest
	if from == nil {
		return rows
	}
	return "SELECT found.* FROM " + strings.Join(append(from, "LATERAL ("+rows+") AS found"), " CROSS JOIN ")
}
