package logs

import (
	"bytes"
	"regexp"
	"slices"
	"time"
)

const (
	// lineBytes is the longest line that is kept together; a longer one is given, and matched, by its beginning.
	lineBytes = 64 << 10
	// heldBytes is how much of a stream waits for the other one before no more is taken.
	heldBytes = 256 << 10
)

// source is a stream that is merged. It makes lines of what comes: all of its parts but the last end with a line, or
// are followed by a gap.
type source struct {
	stream string
	events chan event
	whole  bool // never give a part of a line whose end may come, unless it is long
	match  matcher

	idle  bool // nothing more is there now
	ended bool
	parts []part
	bytes int
}

// part is a chunk with the time at which it came.
type part struct {
	Chunk
	came time.Time
}

func (s *source) held() bool    { return len(s.parts) > 0 }
func (s *source) at() time.Time { return s.parts[0].Time }
func (s *source) full() bool    { return s.bytes >= heldBytes && s.ready() }

// ready tells whether the first part may be given without waiting for more of it.
func (s *source) ready() bool {
	return len(s.parts) > 1 || s.held() && (s.ended || !s.parts[0].broken())
}

// broken tells of a part that its line goes on behind it.
func (p part) broken() bool {
	return p.Missing == 0 && len(p.Data) < lineBytes && p.Data[len(p.Data)-1] != '\n'
}

// add takes a chunk, first of all what ends the line that is held.
func (s *source) add(c Chunk, now time.Time) {
	s.bytes += len(c.Data)
	if n := len(s.parts); n > 0 && s.parts[n-1].broken() && c.Missing == 0 {
		last := &s.parts[n-1]
		more := min(endOfLine(c.Data), lineBytes-len(last.Data))
		last.Data = append(slices.Clip(last.Data), c.Data[:more]...)
		c = c.from(c.Offset + int64(more))
	}
	if c.Missing == 0 && len(c.Data) == 0 {
		return
	}
	if lines := bytes.LastIndexByte(c.Data, '\n') + 1; c.Missing == 0 && lines > 0 && lines < len(c.Data) {
		s.parts = append(s.parts, part{c.until(c.Offset + int64(lines)), now})
		c = c.from(c.Offset + int64(lines))
	}
	s.parts = append(s.parts, part{c, now})
}

// endOfLine is how many bytes there are up to the first line end, or all.
func endOfLine(p []byte) int {
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		return i + 1
	}
	return len(p)
}

// take gives the first part away.
func (s *source) take() Chunk {
	c := s.parts[0].Chunk
	s.parts = s.parts[1:]
	s.bytes -= len(c.Data)
	return c
}

// earlier gives the source whose first part was written earlier; of two at the same time the first. Either may be nil.
func earlier(a, b *source) *source {
	if a == nil || b != nil && b.at().Before(a.at()) {
		return b
	}
	return a
}

// matcher picks the lines that match.
type matcher struct {
	re     *regexp.Regexp // nil: all of them
	inLine bool           // what comes next belongs to the line before
	keep   bool           // which matched
}

// filter gives what matches of a chunk, in pieces. A gap is told whatever is looked for.
func (m *matcher) filter(c Chunk) (found []Chunk) {
	if m.re == nil || c.Missing > 0 {
		m.inLine = false
		return []Chunk{c}
	}
	from := 0 // where the run of lines begins that are kept
	for at := 0; at < len(c.Data); {
		end := at + endOfLine(c.Data[at:])
		line := c.Data[at:end]
		if !m.inLine {
			m.keep = m.re.Match(bytes.TrimSuffix(line[:min(len(line), lineBytes)], []byte{'\n'}))
		}
		m.inLine = line[len(line)-1] != '\n'
		if !m.keep {
			found = appendRun(found, c, from, at)
			from = end
		}
		at = end
	}
	return appendRun(found, c, from, len(c.Data))
}

func appendRun(found []Chunk, c Chunk, from, to int) []Chunk {
	if from == to {
		return found
	}
	return append(found, Chunk{Offset: c.Offset + int64(from), Data: c.Data[from:to:to], Time: c.Time})
}
