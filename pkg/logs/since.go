package logs

import (
	"context"
	"errors"
	"time"
)

// startOfSince gives an offset that is not behind the first byte written since then, and near before it: of what
// follows, early still tells what to leave out.
func (c *cursor) startOfSince(ctx context.Context) (int64, error) {
	for _, seg := range c.stored.Segments {
		if !seg.Last.Before(c.req.Since) {
			return seg.Offset, nil
		}
	}
	if c.complete && c.stored.Last.Before(c.req.Since) {
		return c.stored.Bytes, nil
	}
	if len(c.stored.Segments) == 0 && c.stored.Bytes > 0 {
		return 0, nil
	}
	return c.liveSince(ctx)
}

// liveSince is startOfSince for what is on the bus.
func (c *cursor) liveSince(ctx context.Context) (int64, error) {
	end, err := c.liveLast(ctx)
	if errors.Is(err, errNothingYet) {
		return c.stored.Bytes, nil
	}
	if err != nil {
		return 0, err
	}
	seq, err := c.lastLive(ctx, end.seq, func(p piece) bool { return p.Time.Before(c.req.Since) })
	if err != nil {
		return 0, err
	}
	p, err := c.liveAfter(ctx, seq)
	switch {
	case err != nil && !errors.Is(err, errNothingYet):
		return 0, err
	case err == nil && p.Time.Before(c.req.Since):
		return max(c.stored.Bytes, p.Next()), nil
	}
	return c.stored.Bytes, nil
}

// early tells what is left out because it was written before what is wanted. The first chunk that is given ends that:
// a clock that was set back makes no holes.
func (c *cursor) early(chunk Chunk) bool {
	if c.begun || c.req.Since.IsZero() {
		return false
	}
	c.begun = chunk.Missing > 0 || !c.lastOf(chunk).Before(c.req.Since)
	return !c.begun
}

// lastOf is when the last byte of a chunk was written, as far as is known: what is stored without times is as late as
// the last of it.
func (c *cursor) lastOf(chunk Chunk) time.Time {
	if len(c.stored.Segments) == 0 && chunk.Next() == c.stored.Bytes {
		return later(c.stored.Last, chunk.Time)
	}
	for _, seg := range c.stored.Segments {
		if chunk.Next() == seg.Offset+seg.Bytes {
			return later(seg.Last, chunk.Time)
		}
	}
	return chunk.Time
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
