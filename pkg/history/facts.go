package history

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

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
	fresh := !slices.Contains(rows.parameters, pgtype.Text{}) // each with its request
	known, err := said{what: "executions", ids: rows.ids, at: rows.requested, fresh: fresh}.strays(ctx, s.pool)
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
	parameters pgtype.Text
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
