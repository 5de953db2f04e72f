package history

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// column is an array that is an argument of a statement, a row's value in each place. pgx takes its elements as they
// are, where it would make a value on the heap of each string and time of a slice. A column of NULLs only, as many of
// the columns are in most batches, is sent without them: unnest fills up with NULL what is shorter than others.
type column[E comparable] []E

// room gives an empty column for so many rows: one that grows row by row leaves more behind than it holds.
func room[E comparable](n int) column[E] { return make(column[E], 0, n) }

// Dimensions implements pgtype.ArrayGetter.
func (c column[E]) Dimensions() []pgtype.ArrayDimension {
	var null E
	if !slices.ContainsFunc(c, func(e E) bool { return e != null }) {
		return []pgtype.ArrayDimension{}
	}
	return []pgtype.ArrayDimension{{Length: int32(len(c)), LowerBound: 1}}
}

// Index implements pgtype.ArrayGetter.
func (c column[E]) Index(i int) any { return &c[i] }

// IndexType implements pgtype.ArrayGetter.
func (c column[E]) IndexType() any { return new(E) }

// The columns by what they hold. NULL is the zero value of each.
type (
	texts   = column[pgtype.Text]
	numbers = column[pgtype.Int8]
	flags   = column[pgtype.Bool]
	times   = column[pgtype.Timestamptz]
)

// These give a value of a column. What is empty, zero or false is NULL, for which the statement puts it back where the
// table wants that.
func text(s string) pgtype.Text {
	if s == "" {
		return pgtype.Text{}
	}
	return exactly(s)
}

func number[N int | int64](n N) pgtype.Int8 { return pgtype.Int8{Int64: int64(n), Valid: n != 0} }

func flag(b bool) pgtype.Bool { return pgtype.Bool{Bool: b, Valid: b} }

func moment(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: true} }

// momentOrNull gives a time that there may be none of.
func momentOrNull(t *time.Time) pgtype.Timestamptz {
	if t == nil {
		return pgtype.Timestamptz{}
	}
	return moment(*t)
}

// exactly gives a text that is not NULL when it is empty.
func exactly(s string) pgtype.Text { return pgtype.Text{String: clean(s), Valid: true} }
