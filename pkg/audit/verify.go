package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Fault is what is wrong with the audit.
type Fault struct {
	Seq     int64 // the row at which it shows
	Message string
}

func (f Fault) String() string { return fmt.Sprintf("row %d: %s", f.Seq, f.Message) }

// Report is what Verify found.
type Report struct {
	Rows   int64
	Head   Head
	Faults []Fault // at most maxFaults
}

// OK tells whether nothing was wrong.
func (r Report) OK() bool { return len(r.Faults) == 0 }

const maxFaults = 100

func (r *Report) fault(seq int64, format string, args ...any) {
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, Fault{Seq: seq, Message: fmt.Sprintf(format, args...)})
	}
}

// Verify reads the whole audit, as of one moment, and checks every row. Each of the heads was the newest once, and must
// still be there.
func (s *Store) Verify(ctx context.Context, heads ...Head) (Report, error) {
	report := Report{Head: noHead()}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return verify(ctx, tx, &report, heads)
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify the audit: %w", err)
	}
	return report, nil
}

func verify(ctx context.Context, tx pgx.Tx, report *Report, heads []Head) error {
	v := &verifier{report: report, last: Row{Hash: make([]byte, size)}, heads: map[int64][]Head{}}
	for _, h := range heads {
		v.heads[h.Seq] = append(v.heads[h.Seq], h)
	}
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM audit ORDER BY seq`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := pgx.RowToStructByName[row](rows)
		if err != nil {
			return err
		}
		v.check(r.public())
	}
	v.end()
	return rows.Err()
}

type verifier struct {
	report *Report
	last   Row
	heads  map[int64][]Head
}

func (v *verifier) check(r Row) {
	switch {
	case r.Seq == v.last.Seq+2:
		v.report.fault(r.Seq, "row %d is missing", v.last.Seq+1)
	case r.Seq != v.last.Seq+1:
		v.report.fault(r.Seq, "rows %d to %d are missing", v.last.Seq+1, r.Seq-1)
	case !bytes.Equal(r.Prev, v.last.Hash):
		v.report.fault(r.Seq, "does not follow the row before it: one of them was put here later")
	}
	if !bytes.Equal(r.seal(), r.Hash) {
		v.report.fault(r.Seq, "was changed after %s, when it was written", r.At.Format(time.RFC3339))
	}
	v.report.Rows++
	v.report.Head = Head{Seq: r.Seq, Hash: hex.EncodeToString(r.Hash)}
	for _, h := range v.heads[r.Seq] {
		if h.Hash != v.report.Head.Hash {
			v.report.fault(r.Seq, "has another hash than when it was the newest")
		}
	}
	v.last = r
}

// end finds what was cut off.
func (v *verifier) end() {
	for seq := range v.heads {
		if seq > v.last.Seq {
			v.report.fault(seq, "was the newest once, and is missing with all after row %d", v.last.Seq)
		}
	}
}
