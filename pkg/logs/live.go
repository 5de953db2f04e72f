package logs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// errNothingYet is returned when the bus has nothing at the cursor.
var errNothingYet = errors.New("nothing there yet")

// piece is a message of LOGS.
type piece struct {
	Chunk
	seq  uint64
	last bool
}

func parsePiece(h nats.Header, data []byte, seq uint64) (piece, error) {
	offset, err := strconv.ParseInt(h.Get(streams.HeaderOffset), 10, 64)
	if err != nil || offset < 0 {
		return piece{}, fmt.Errorf("message %d of %s: header %s is %q", seq, streams.Logs, streams.HeaderOffset, h.Get(streams.HeaderOffset))
	}
	at, _ := time.Parse(time.RFC3339Nano, h.Get(streams.HeaderTime)) // for display only
	return piece{Chunk: Chunk{Offset: offset, Data: data, Time: at}, seq: seq, last: h.Get(streams.HeaderEnd) == "true"}, nil
}

// liveAfter gives the first message of the stream at or behind a sequence of LOGS.
func (c *cursor) liveAfter(ctx context.Context, seq uint64) (piece, error) {
	m, err := c.store.live.GetMsg(ctx, max(seq, 1), jetstream.WithGetMsgSubject(c.subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return piece{}, errNothingYet
	}
	if err != nil {
		return piece{}, fmt.Errorf("read %s: %w", c.subject, err)
	}
	return parsePiece(m.Header, m.Data, m.Sequence)
}

func (c *cursor) liveLast(ctx context.Context) (piece, error) {
	m, err := c.store.live.GetLastMsgForSubject(ctx, c.subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return piece{}, errNothingYet
	}
	if err != nil {
		return piece{}, fmt.Errorf("read %s: %w", c.subject, err)
	}
	return parsePiece(m.Header, m.Data, m.Sequence)
}

// seek finds where to read on in LOGS: offsets grow with sequences, so it halves the range. Reading sets off
// from the message before the found one at the latest, since a message is found by its first byte.
func (c *cursor) seek(ctx context.Context) error {
	if c.pos < c.stored.Bytes || c.complete {
		return nil // the stored part is first; liveStart follows from its segments
	}
	end, err := c.liveLast(ctx)
	if errors.Is(err, errNothingYet) {
		return nil
	}
	if err != nil {
		return err
	}
	c.seq, err = c.lastLive(ctx, end.seq, func(p piece) bool { return p.Offset <= c.pos })
	return err
}

// lastLive gives the last message of LOGS that is not behind what the condition holds for, which must be a beginning
// of what is there up to high.
func (c *cursor) lastLive(ctx context.Context, high uint64, holds func(piece) bool) (uint64, error) {
	low := c.liveStart()
	for low < high {
		mid := low + (high-low+1)/2
		p, err := c.liveAfter(ctx, mid)
		if err != nil && !errors.Is(err, errNothingYet) {
			return 0, err
		}
		if err == nil && holds(p) {
			low = max(mid, min(p.seq, high))
		} else {
			high = mid - 1
		}
	}
	return low, nil
}

// liveStart is a message of LOGS that is not behind the end of the stored part.
func (c *cursor) liveStart() uint64 {
	if n := len(c.stored.Segments); n > 0 {
		return max(c.stored.Segments[n-1].LiveAt, 1)
	}
	return 1
}

// fromLive gives what the bus has at the cursor. Messages may come twice, never in another order; a gap means
// that the bus has dropped its oldest ones, and then the stored part has grown meanwhile.
func (c *cursor) fromLive(ctx context.Context) (Chunk, error) {
	if err := c.catchUp(ctx); err != nil {
		return Chunk{}, err
	}
	c.seq = max(c.seq, c.liveStart())
	for {
		p, err := c.liveAfter(ctx, c.seq)
		if err != nil {
			return Chunk{}, err
		}
		if p.Offset > c.pos {
			return c.gap(ctx, p)
		}
		c.seq, c.last = p.seq+1, p.last
		if chunk, ok := c.cut(p); ok {
			return chunk, nil
		}
		if c.last {
			return Chunk{}, errNothingYet
		}
	}
}

// catchUp finds the cursor's place in LOGS again after it went on by pushed output.
func (c *cursor) catchUp(ctx context.Context) error {
	if !c.moved {
		return nil
	}
	p, err := c.liveLast(ctx)
	if err != nil {
		return err
	}
	if p.Next() <= c.pos {
		c.last = p.last
		return errNothingYet
	}
	c.moved = false
	return c.seek(ctx)
}

// cut gives the part of a piece that is not before the cursor.
func (c *cursor) cut(p piece) (Chunk, bool) {
	if p.Offset > c.pos || p.Next() <= c.pos {
		return Chunk{}, false
	}
	return Chunk{Offset: c.pos, Data: p.Data[c.pos-p.Offset:], Time: p.Time}, true
}

// gap looks whether what the bus has dropped is stored by now.
func (c *cursor) gap(ctx context.Context, p piece) (Chunk, error) {
	if err := c.load(ctx); err != nil {
		return Chunk{}, err
	}
	if c.pos < c.stored.Bytes {
		return c.fromStore(ctx)
	}
	return Chunk{Offset: c.pos, Missing: p.Offset - c.pos, Time: p.Time}, nil
}
