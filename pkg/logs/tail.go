package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
)

// tailWindow is how much of the end is looked at first for the last lines; it doubles until they are found.
const tailWindow = 64 << 10

// startOfTail gives the offset of the first of the wanted last lines. It holds one chunk at a time.
func (c *cursor) startOfTail(ctx context.Context) (int64, error) {
	end, err := c.size(ctx)
	if err != nil || end == 0 {
		return 0, err
	}
	for window := int64(tailWindow); ; window *= 2 {
		start := max(end-window, 0)
		lines, err := c.countLines(ctx, start, end)
		if err != nil {
			return 0, err
		}
		switch {
		case lines >= c.req.Tail:
			return c.skipLines(ctx, start, end, lines-c.req.Tail)
		case start == 0:
			return 0, nil
		}
	}
}

// size is how long the log is now.
func (c *cursor) size(ctx context.Context) (int64, error) {
	if c.complete {
		return c.stored.Bytes, nil
	}
	p, err := c.liveLast(ctx)
	if errors.Is(err, errNothingYet) {
		return c.stored.Bytes, nil
	}
	return max(c.stored.Bytes, p.Next()), err
}

// countLines counts the line ends between two offsets, except one at the very end.
func (c *cursor) countLines(ctx context.Context, start, end int64) (n int, err error) {
	err = c.scan(ctx, start, end-1, func(_ int64, p []byte) bool {
		n += bytes.Count(p, []byte{'\n'})
		return true
	})
	return n, err
}

// skipLines gives the offset behind so many line ends and one more.
func (c *cursor) skipLines(ctx context.Context, start, end int64, skip int) (offset int64, err error) {
	err = c.scan(ctx, start, end-1, func(at int64, p []byte) bool {
		for i := range p {
			if p[i] != '\n' {
				continue
			}
			if skip == 0 {
				offset = at + int64(i) + 1
				return false
			}
			skip--
		}
		return true
	})
	return offset, err
}

// scan shows the bytes between two offsets to f, missing ones left out, until f returns false.
func (c *cursor) scan(ctx context.Context, start, end int64, f func(at int64, p []byte) bool) error {
	part := &cursor{store: c.store, req: c.req, subject: c.subject, pos: start, stored: c.stored, complete: c.complete}
	part.req.Follow, part.req.Timed = false, false
	if err := part.seek(ctx); err != nil {
		return err
	}
	for part.pos < end {
		chunk, err := part.next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !f(chunk.Offset, chunk.Data[:min(int64(len(chunk.Data)), end-chunk.Offset)]) {
			return nil
		}
	}
	return nil
}

// lineStart is where a line begins.
type lineStart struct {
	stream string
	offset int64
}

// tailOf gives where the last lines of several streams begin, all counted together.
func (s *Store) tailOf(ctx context.Context, r MergeRequest) (Position, error) {
	tail := r.Tail
	r.Follow, r.Beat, r.Grep, r.Tail = false, 0, nil, 0
	var err error
	var lines []lineStart // in a ring once there are as many as wanted
	next, start, inLine := 0, r.From, map[string]bool{}
	s.merge(ctx, r, tail, func(p Piece, failed error) bool {
		if err = failed; err != nil {
			return false
		}
		for at := range p.linesFrom(inLine[p.Stream]) {
			if len(lines) < tail {
				lines = append(lines, lineStart{p.Stream, at})
				continue
			}
			lines[next] = lineStart{p.Stream, at}
			next = (next + 1) % tail
		}
		inLine[p.Stream] = p.Missing == 0 && len(p.Data) > 0 && p.Data[len(p.Data)-1] != '\n'
		*start.of(p.Stream) = p.Next()
		return true
	})
	for i := range lines { // from the last one back: what is left is the first of each stream
		l := lines[(next+len(lines)-1-i)%len(lines)]
		*start.of(l.stream) = l.offset
	}
	return start, err
}

// linesFrom gives the offsets at which lines begin; inLine says that the first one has begun before.
func (c Chunk) linesFrom(inLine bool) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		if c.Missing > 0 {
			yield(c.Offset)
			return
		}
		for at := 0; at < len(c.Data); {
			if !inLine && !yield(c.Offset+int64(at)) {
				return
			}
			inLine = false
			at += endOfLine(c.Data[at:])
		}
	}
}
