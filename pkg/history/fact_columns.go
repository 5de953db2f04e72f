package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// factColumns are the arguments of apply_facts.sql.
type factColumns struct {
	ids       []string
	requested []time.Time

	actions, digests, statuses, by, keys, pools, rules, events, retries  texts
	parameters, runners, signals, results, classes, messages, canceledBy texts
	priorities, previous, terms, seqs                                    texts
	attempts, limits, hops, codes, stdout, stderr, logs, stored, dropped numbers
	truncated, held, incomplete                                          flags
	changed, started, ended, notBefore, settled                          times
}

func newFactColumns(n int) *factColumns {
	c := &factColumns{ids: make([]string, 0, n), requested: make([]time.Time, 0, n)}
	for _, t := range []*texts{
		&c.actions, &c.digests, &c.statuses, &c.by, &c.keys, &c.pools, &c.rules, &c.events, &c.retries, &c.parameters, &c.runners, &c.signals,
		&c.results, &c.classes, &c.messages, &c.canceledBy, &c.priorities, &c.previous, &c.terms, &c.seqs,
	} {
		*t = room[pgtype.Text](n)
	}
	for _, t := range []*numbers{&c.attempts, &c.limits, &c.hops, &c.codes, &c.stdout, &c.stderr, &c.logs, &c.stored, &c.dropped} {
		*t = room[pgtype.Int8](n)
	}
	for _, t := range []*flags{&c.truncated, &c.held, &c.incomplete} {
		*t = room[pgtype.Bool](n)
	}
	for _, t := range []*times{&c.changed, &c.started, &c.ended, &c.notBefore, &c.settled} {
		*t = room[pgtype.Timestamptz](n)
	}
	return c
}

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
	c.seqs = append(c.seqs, exactly(array(m.seqs)))
	c.statuses = append(c.statuses, exactly(string(f.Status)))
	c.attempts = append(c.attempts, number(f.Attempt))
	c.changed = append(c.changed, moment(f.At))
	c.runners = append(c.runners, text(f.Runner))
	c.started = append(c.started, started(f))
	c.canceledBy = append(c.canceledBy, text(f.By))
	c.addEnd(f)
	c.addOutput(f.Output)
	c.settled = append(c.settled, settled(f))
	return c.addTerms(f)
}

// addTerms takes what the action said of admission and retries, and what became of earlier attempts.
func (c *factColumns) addTerms(f *streams.Fact) error {
	var previous, terms pgtype.Text // most executions have none
	if len(f.Previous) > 0 {
		data, err := json.Marshal(f.Previous)
		if err != nil {
			return fmt.Errorf("execution %s: earlier attempts: %w", f.ID, err)
		}
		previous = document(data)
	}
	if own := (Terms{Admission: f.Admission, Retry: f.Retry}); own != (Terms{}) {
		data, err := json.Marshal(own)
		if err != nil {
			return fmt.Errorf("execution %s: terms: %w", f.ID, err)
		}
		terms = document(data)
	}
	c.previous = append(c.previous, previous)
	c.terms = append(c.terms, terms)
	c.notBefore = append(c.notBefore, momentOrNull(f.NotBefore))
	c.priorities = append(c.priorities, text(string(f.Priority)))
	return nil
}

func (c *factColumns) addRequest(f *streams.Fact) {
	c.ids = append(c.ids, f.ID)
	c.actions = append(c.actions, exactly(f.Action))
	c.digests = append(c.digests, text(f.PackDigest))
	c.requested = append(c.requested, micro(f.RequestedAt))
	c.by = append(c.by, text(f.RequestedBy))
	c.keys = append(c.keys, text(f.Key))
	c.limits = append(c.limits, number(f.Limit))
	c.pools = append(c.pools, text(f.Pool))
	c.rules = append(c.rules, text(f.Rule))
	c.events = append(c.events, text(f.Event))
	c.retries = append(c.retries, text(f.RetryOf))
	c.hops = append(c.hops, number(f.Hops))
}

// addEnd takes what only an ended execution has, and nothing of it from a fact that is not an end.
func (c *factColumns) addEnd(f *streams.Fact) {
	var ended pgtype.Timestamptz
	var code pgtype.Int8
	var signal, result, class, message pgtype.Text
	if execution.Final(f.Status) {
		ended, signal, result = moment(endOf(f)), text(f.Signal), document(f.Result)
		if f.ExitCode != nil {
			code = pgtype.Int8{Int64: int64(*f.ExitCode), Valid: true}
		}
		if f.Error != nil {
			class, message = exactly(f.Error.Class), exactly(f.Error.Message)
		}
	}
	c.ended = append(c.ended, ended)
	c.codes = append(c.codes, code)
	c.signals = append(c.signals, signal)
	c.results = append(c.results, result)
	c.classes = append(c.classes, class)
	c.messages = append(c.messages, message)
}

func (c *factColumns) addOutput(o *streams.Output) {
	if o == nil {
		o = &streams.Output{}
	}
	c.stdout = append(c.stdout, number(o.StdoutBytes))
	c.stderr = append(c.stderr, number(o.StderrBytes))
	c.truncated = append(c.truncated, flag(o.Truncated))
	c.held = append(c.held, flag(o.Held))
	c.logs = append(c.logs, number(o.LogBytes))
	c.stored = append(c.stored, number(o.StoredBytes))
	c.incomplete = append(c.incomplete, flag(o.Incomplete))
	c.dropped = append(c.dropped, number(o.Dropped))
}

// endOf is when an execution ended, also when that was left out.
func endOf(f *streams.Fact) time.Time {
	if f.EndedAt == nil {
		return f.At
	}
	return *f.EndedAt
}

// settled is when an execution's log became all that it will be: at its end, unless its runner could not say that
// the log is stored, because it is lost, gave up, or had no part in the end.
func settled(f *streams.Fact) pgtype.Timestamptz {
	ran := f.StartedAt != nil || f.Attempt > 1
	if !execution.Final(f.Status) || f.Status == streams.Lost || f.Output == nil && ran || f.Output != nil && f.Output.Incomplete {
		return pgtype.Timestamptz{}
	}
	return moment(endOf(f))
}

// started is when the attempt started. One that runs has, whatever its fact left out.
func started(f *streams.Fact) pgtype.Timestamptz {
	if f.StartedAt == nil && execution.HoldsSlot(f.Status) {
		return moment(f.At)
	}
	return momentOrNull(f.StartedAt)
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
