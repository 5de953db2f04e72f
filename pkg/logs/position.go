package logs

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in a log: an offset in each of its streams.
type Position struct {
	Stdout int64
	Stderr int64
}

// Of gives the offset in a stream.
func (p *Position) Of(stream string) int64 { return *p.of(stream) }

// Set sets the offset in a stream.
func (p *Position) Set(stream string, offset int64) { *p.of(stream) = offset }

func (p *Position) of(stream string) *int64 {
	if stream == Stderr {
		return &p.Stderr
	}
	return &p.Stdout
}

// String writes a position as ParsePosition reads it: stdout:OFFSET,stderr:OFFSET.
func (p Position) String() string {
	return Stdout + ":" + strconv.FormatInt(p.Stdout, 10) + "," + Stderr + ":" + strconv.FormatInt(p.Stderr, 10)
}

// ParsePosition reads what String wrote.
func ParsePosition(text string) (Position, error) {
	var p Position
	out, err, ok := strings.Cut(text, ",")
	for _, part := range []struct{ text, stream string }{{out, Stdout}, {err, Stderr}} {
		digits, named := strings.CutPrefix(part.text, part.stream+":")
		n, err := strconv.ParseUint(digits, 10, 63)
		if !ok || !named || err != nil {
			return Position{}, fmt.Errorf("position %.60q: %w", text, ErrBadRequest)
		}
		*p.of(part.stream) = int64(n) //nolint:gosec // it has 63 bits
	}
	return p, nil
}
