package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// ErrTransition is returned when facts of one execution contradict each other: the table of statuses refuses
// that one follows the other.
var ErrTransition = errors.New("facts contradict the table of statuses")

// ErrUnreadable is returned when a fact turns out not to be one.
var ErrUnreadable = errors.New("not a fact")

// FactAt is a fact and its sequence in EXECUTIONS.
type FactAt struct {
	streams.Fact
	Seq uint64

	// Whole gives all of a fact of which only id, action, status and attempt are known so far; nil: it is whole. Facts
	// that are followed by newer ones in their batch are never read whole. One that brings parameters has to be.
	Whole func() (streams.Fact, error)
}

// FactBatch is what is known of a batch of facts as a whole.
type FactBatch struct {
	Epoch    int64 // which EXECUTIONS they come from: the time when that stream was created
	Announce bool  // ends among them are to become events
}

// ApplyFacts merges facts into the executions. It may be given any of them again, in any order; after an error it has to
// be.
func (s *Store) ApplyFacts(ctx context.Context, b FactBatch, facts []FactAt) error {
	rows, err := mergeFacts(facts)
	if err != nil {
		return err
	}
	if err := s.applyRows(ctx, b, rows); err != nil {
		return fmt.Errorf("record %d facts: %w", len(facts), err)
	}
	return nil
}

func (s *Store) applyRows(ctx context.Context, b FactBatch, rows *factColumns) error {
	fresh := !slices.Contains(rows.parameters, nil) // each with its request
	known, err := said{statement: "kept_executions", ids: rows.ids, at: rows.requested, fresh: fresh}.strays(ctx, s.pool)
	if err != nil {
		return err
	}
	for i, at := range known {
		rows.requested[i] = at
	}
	args := append(rows.columns(), b.Announce, b.Epoch)
	tag, err := s.pool.Exec(ctx, query("apply_facts"), args...)
	if err != nil || int(tag.RowsAffected()) == len(rows.ids) {
		return err // nothing was older than what is there
	}
	_, err = s.pool.Exec(ctx, query("merge_late_facts"), rows.ids, rows.requested, rows.parameters, rows.seqs, b.Epoch)
	return err
}

// merged is what a batch says of one execution.
type merged struct {
	newest     *FactAt
	parameters *string
	seqs       []uint64
}

func mergeFacts(facts []FactAt) (*factColumns, error) {
	byID := make(map[string]*merged, len(facts))
	for i := range facts { // they are large
		f := &facts[i]
		m, ok := byID[f.ID]
		if !ok {
			m = &merged{newest: f}
			byID[f.ID] = m
		}
		if err := m.add(f); err != nil {
			return nil, err
		}
	}
	rows := newFactColumns(len(byID))
	for _, m := range byID {
		if err := rows.add(m); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (m *merged) add(f *FactAt) error {
	m.seqs = append(m.seqs, f.Seq)
	if f.Parameters != nil {
		m.parameters = document(f.Parameters)
	}
	older, newer := m.newest, f
	if isNewer(&older.Fact, &newer.Fact) {
		older, newer = newer, older
	}
	if !mayComeAfter(&older.Fact, &newer.Fact) {
		return fmt.Errorf("execution %s: %s (attempt %d) after %s (attempt %d): %w",
			f.ID, newer.Status, newer.Attempt, older.Status, older.Attempt, ErrTransition)
	}
	m.newest = newer
	return nil
}

// isNewer tells whether a is newer than b.
func isNewer(a, b *streams.Fact) bool {
	if a.Attempt != b.Attempt {
		return a.Attempt > b.Attempt
	}
	return rank(a.Status) > rank(b.Status)
}

func rank(s streams.Status) int {
	switch s {
	case streams.Requested:
		return 0
	case streams.Running:
		return 1
	case streams.Canceling:
		return 2
	case streams.Succeeded, streams.Failed, streams.TimedOut, streams.Canceled, streams.Lost:
		return 3
	}
	return -1
}

// mayComeAfter is what the trigger of the table says: the table of statuses with the steps in between left out.
func mayComeAfter(older, newer *streams.Fact) bool {
	if newer.Attempt > older.Attempt {
		return older.Status == streams.Requested || older.Status == streams.Running
	}
	return newer.Status == older.Status || rank(newer.Status) > rank(older.Status)
}

// factColumns are the arguments of apply_facts.sql, one slice a column.
type factColumns struct {
	ids, actions, digests, statuses []string
	attempts                        []int
	changed, requested              []time.Time
	by, keys                        []string
	limits                          []int
	pools                           []string
	rules, events, retries          []*string
	hops                            []int
	parameters                      []*string
	runners                         []string
	started, ended                  []*time.Time
	codes                           []*int
	signals                         []string
	results, classes, messages      []*string
	stdout, stderr                  []int64
	truncated, held                 []bool
	canceledBy, priorities          []string
	notBefore                       []*time.Time
	previous, terms, seqs           []string
	logs, stored                    []int64
	incomplete                      []bool
	settled                         []*time.Time
	dropped                         []int64
}

// newFactColumns has room for so many rows: columns that grow row by row leave more behind than they hold.
func newFactColumns(n int) *factColumns {
	return &factColumns{
		ids: room[string](n), actions: room[string](n), digests: room[string](n), statuses: room[string](n), attempts: room[int](n),
		changed: room[time.Time](n), requested: room[time.Time](n), by: room[string](n), keys: room[string](n), limits: room[int](n),
		pools: room[string](n), rules: room[*string](n), events: room[*string](n), retries: room[*string](n), hops: room[int](n),
		parameters: room[*string](n), runners: room[string](n), started: room[*time.Time](n), ended: room[*time.Time](n),
		codes: room[*int](n), signals: room[string](n), results: room[*string](n), classes: room[*string](n), messages: room[*string](n),
		stdout: room[int64](n), stderr: room[int64](n), truncated: room[bool](n), held: room[bool](n), canceledBy: room[string](n),
		priorities: room[string](n), notBefore: room[*time.Time](n), previous: room[string](n), terms: room[string](n),
		seqs: room[string](n), logs: room[int64](n), stored: room[int64](n), incomplete: room[bool](n), settled: room[*time.Time](n),
		dropped: room[int64](n),
	}
}

func room[T any](n int) []T { return make([]T, 0, n) }

func (c *factColumns) columns() []any {
	return []any{
		c.ids, c.actions, c.digests, c.statuses, c.attempts, c.changed, c.requested, c.by, c.keys, c.limits, c.pools,
		c.rules, c.events, c.retries, c.hops, c.parameters, c.runners, c.started, c.ended, c.codes, c.signals, c.results,
		c.classes, c.messages, c.stdout, c.stderr, c.truncated, c.held, c.canceledBy,
		c.priorities, c.notBefore, c.previous, c.terms, c.seqs,
		c.logs, c.stored, c.incomplete, c.settled, c.dropped,
	}
}

func (c *factColumns) add(m *merged) error {
	f := &m.newest.Fact
	if m.newest.Whole != nil {
		whole, err := m.newest.Whole()
		if err != nil {
			return fmt.Errorf("execution %s: %w: %w", m.newest.ID, ErrUnreadable, err)
		}
		f = &whole
	}
	c.addRequest(f)
	c.parameters = append(c.parameters, m.parameters)
	c.seqs = append(c.seqs, array(m.seqs))
	c.statuses = append(c.statuses, string(f.Status))
	c.attempts = append(c.attempts, f.Attempt)
	c.changed = append(c.changed, f.At)
	c.runners = append(c.runners, clean(f.Runner))
	c.started = append(c.started, started(f))
	c.canceledBy = append(c.canceledBy, clean(f.By))
	c.addEnd(f)
	c.addOutput(f.Output)
	c.settled = append(c.settled, settled(f))
	return c.addTerms(f)
}

// addTerms takes what the action said of admission and retries, and what became of earlier attempts.
func (c *factColumns) addTerms(f *streams.Fact) error {
	previous, terms := "[]", "{}" // of most executions
	if len(f.Previous) > 0 {
		text, err := json.Marshal(f.Previous)
		if err != nil {
			return fmt.Errorf("execution %s: earlier attempts: %w", f.ID, err)
		}
		previous = string(text)
	}
	if own := (Terms{Admission: f.Admission, Retry: f.Retry}); own != (Terms{}) {
		text, err := json.Marshal(own)
		if err != nil {
			return fmt.Errorf("execution %s: terms: %w", f.ID, err)
		}
		terms = string(text)
	}
	c.previous = append(c.previous, previous)
	c.terms = append(c.terms, terms)
	c.notBefore = append(c.notBefore, f.NotBefore)
	c.priorities = append(c.priorities, string(cmp.Or(f.Priority, streams.PriorityNormal)))
	return nil
}

func (c *factColumns) addRequest(f *streams.Fact) {
	c.ids = append(c.ids, f.ID)
	c.actions = append(c.actions, clean(f.Action))
	c.digests = append(c.digests, clean(f.PackDigest))
	c.requested = append(c.requested, micro(f.RequestedAt))
	c.by = append(c.by, clean(f.RequestedBy))
	c.keys = append(c.keys, clean(f.Key))
	c.limits = append(c.limits, f.Limit)
	c.pools = append(c.pools, clean(f.Pool))
	c.rules = append(c.rules, cleanNull(f.Rule))
	c.events = append(c.events, cleanNull(f.Event))
	c.retries = append(c.retries, cleanNull(f.RetryOf))
	c.hops = append(c.hops, f.Hops)
}

// addEnd takes what only an ended execution has, and nothing of it from a fact that is not an end.
func (c *factColumns) addEnd(f *streams.Fact) {
	end := &streams.Fact{}
	if execution.Final(f.Status) {
		end = f
	}
	ended := end.EndedAt
	if ended == nil && end == f {
		ended = &f.At
	}
	c.ended = append(c.ended, ended)
	c.codes = append(c.codes, end.ExitCode)
	c.signals = append(c.signals, clean(end.Signal))
	c.results = append(c.results, document(end.Result))
	var class, message *string
	if end.Error != nil {
		cl, me := clean(end.Error.Class), clean(end.Error.Message)
		class, message = &cl, &me
	}
	c.classes = append(c.classes, class)
	c.messages = append(c.messages, message)
}

func (c *factColumns) addOutput(o *streams.Output) {
	if o == nil {
		o = &streams.Output{}
	}
	c.stdout = append(c.stdout, o.StdoutBytes)
	c.stderr = append(c.stderr, o.StderrBytes)
	c.truncated = append(c.truncated, o.Truncated)
	c.held = append(c.held, o.Held)
	c.logs = append(c.logs, o.LogBytes)
	c.stored = append(c.stored, o.StoredBytes)
	c.incomplete = append(c.incomplete, o.Incomplete)
	c.dropped = append(c.dropped, o.Dropped)
}

// settled is when an execution's log became all that it will be: at its end, unless its runner could not say that
// the log is stored, because it is lost, gave up, or had no part in the end.
func settled(f *streams.Fact) *time.Time {
	ran := f.StartedAt != nil || f.Attempt > 1
	switch {
	case !execution.Final(f.Status), f.Status == streams.Lost, f.Output == nil && ran, f.Output != nil && f.Output.Incomplete:
		return nil
	case f.EndedAt == nil:
		return &f.At
	}
	return f.EndedAt
}

// started is when the attempt started. One that runs has, whatever its fact left out.
func started(f *streams.Fact) *time.Time {
	if f.StartedAt == nil && execution.HoldsSlot(f.Status) {
		return &f.At
	}
	return f.StartedAt
}

// array gives sequences as PostgreSQL's text of an array: unnest takes arrays of arrays apart entirely.
func array[T uint64 | int64](seqs []T) string {
	sorted := slices.Clone(seqs)
	slices.Sort(sorted)
	text := make([]byte, 0, 2+20*len(sorted))
	text = append(text, '{')
	for i, s := range slices.Compact(sorted) {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(s), 10)
	}
	return string(append(text, '}'))
}
