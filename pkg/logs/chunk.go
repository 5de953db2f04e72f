package logs

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// Chunk is a piece of a log. Either it has data, or it says that bytes are missing in this place.
type Chunk struct {
	Offset  int64
	Data    []byte
	Time    time.Time // when the first byte was read from the process, or about then
	Missing int64     // so many bytes cannot be read any more, and the next chunk goes on behind them
}

// Next is the offset behind the chunk, from which another request goes on.
func (c Chunk) Next() int64 { return c.Offset + int64(len(c.Data)) + c.Missing }

// Text is what a person should see: the data, or a line about what is missing.
func (c Chunk) Text() []byte {
	if c.Missing > 0 {
		return fmt.Appendf(nil, "[attune: bytes %d to %d are missing]\n", c.Offset, c.Next()-1)
	}
	return c.Data
}

// until is the chunk without what lies at or behind an offset; 0 leaves it as it is.
func (c Chunk) until(end int64) Chunk {
	switch over := c.Next() - end; {
	case end <= 0 || over <= 0:
	case c.Missing > 0:
		c.Missing -= min(over, c.Missing)
	default:
		c.Data = c.Data[:max(int64(len(c.Data))-over, 0)]
	}
	return c
}

// from is the chunk without what lies before an offset within it.
func (c Chunk) from(start int64) Chunk {
	switch before := start - c.Offset; {
	case before <= 0:
		return c
	case c.Missing > 0:
		c.Missing -= before
	default:
		c.Data = c.Data[before:]
	}
	c.Offset = start
	return c
}

// blanks are written in the place of missing bytes.
var blanks = bytes.Repeat([]byte{' '}, 4<<10)

// WriteTo writes as many bytes as the chunk stands for, so that what follows keeps its offset: the data, or a line
// about what is missing, drawn out with blanks to the length of it.
func (c Chunk) WriteTo(w io.Writer) (int64, error) {
	if c.Missing == 0 {
		n, err := w.Write(c.Data)
		return int64(n), err
	}
	line := bytes.TrimSuffix(c.Text(), []byte{'\n'})
	line = line[:min(int64(len(line)), c.Missing)]
	n, err := w.Write(line)
	for written := int64(n); ; written += int64(n) {
		rest := c.Missing - written
		if err != nil || rest == 0 {
			return written, err
		}
		fill := blanks[:min(rest, int64(len(blanks)))]
		if rest == 1 {
			fill = []byte{'\n'}
		} else if int64(len(fill)) == rest {
			fill = fill[:rest-1]
		}
		n, err = w.Write(fill)
	}
}
