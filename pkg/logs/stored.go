package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/logging"
)

// errDamaged is returned when a segment is gone, or is not what was stored.
var errDamaged = errors.New("segment is damaged")

// decoder decompresses whole segments; it has no state between calls.
var decoder = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxSegmentBytes))
	if err != nil {
		panic(fmt.Sprintf("zstd options: %v", err)) // they are constant
	}
	return d
}()

// opened is a segment that was read: its name, its bytes, and when they were.
type opened struct {
	name string
	data []byte
	marks
}

// fromStore gives what is stored from the cursor to the end of its segment. A segment is checked as a whole
// before any of it is given; one that is damaged is passed over and said to be missing.
func (c *cursor) fromStore(ctx context.Context) (Chunk, error) {
	if len(c.stored.Segments) == 0 {
		return c.inline(), nil
	}
	for _, seg := range c.stored.Segments {
		if c.pos >= seg.Offset+seg.Bytes {
			continue
		}
		err := c.open(ctx, seg)
		if errors.Is(err, errDamaged) {
			c.store.Logger.ErrorContext(ctx, "log segment is damaged", slog.String("segment", seg.Name), slog.Any(logging.Error, err))
			return Chunk{Offset: c.pos, Missing: seg.Offset + seg.Bytes - c.pos, Time: seg.First}, nil
		}
		if err != nil {
			return Chunk{}, err
		}
		return c.timed(c.segment.data, c.segment.marks, seg.Offset, seg.First), nil
	}
	return Chunk{Offset: c.pos, Missing: c.stored.Bytes - c.pos}, nil
}

func (c *cursor) inline() Chunk {
	if int64(len(c.stored.Inline)) != c.stored.Bytes {
		return Chunk{Offset: c.pos, Missing: c.stored.Bytes - c.pos}
	}
	return c.timed(c.stored.Inline, c.stored.Marks, 0, c.stored.First)
}

// timed gives what stands at the cursor of bytes that begin at an offset: all of it, or as much as the same time is
// true for. Without marks that is the time of the first.
func (c *cursor) timed(data []byte, m marks, offset int64, first time.Time) Chunk {
	from := c.pos - offset
	at, next := m.around(from)
	if at.IsZero() {
		at = first
	}
	if to := int64(len(data)); c.req.Timed && next > from && next < to {
		return Chunk{Offset: c.pos, Data: data[from:next:next], Time: at}
	}
	return Chunk{Offset: c.pos, Data: data[from:], Time: at}
}

// open reads a segment, unless it is the one that was read last.
func (c *cursor) open(ctx context.Context, seg Segment) (err error) {
	if c.segment.name == seg.Name {
		return nil
	}
	c.segment, err = c.store.segment(ctx, seg)
	return err
}

// segment reads a segment and checks it: the bucket's digest over what was stored, the frame's own checksum
// and the length over what it holds. Where it is the index that is damaged, the bytes are given without.
func (s *Store) segment(ctx context.Context, seg Segment) (opened, error) {
	packed, err := s.object(ctx, seg.Name)
	digest := errors.Is(err, jetstream.ErrDigestMismatch)
	if errors.Is(err, jetstream.ErrObjectNotFound) || digest && seg.Index == 0 {
		return opened{}, fmt.Errorf("segment %s: %w: %w", seg.Name, errDamaged, err)
	}
	if err != nil && !digest {
		return opened{}, fmt.Errorf("read segment %s: %w", seg.Name, err)
	}
	packed, index := seg.split(packed)
	data, err := decoder.DecodeAll(packed, make([]byte, 0, min(seg.Bytes, MaxSegmentBytes)))
	if err != nil {
		return opened{}, fmt.Errorf("segment %s: %w: %w", seg.Name, errDamaged, err)
	}
	if int64(len(data)) != seg.Bytes {
		return opened{}, fmt.Errorf("segment %s: %d bytes, want %d: %w", seg.Name, len(data), seg.Bytes, errDamaged)
	}
	m, err := parseFrame(index)
	if err != nil && seg.Index > 0 {
		s.Logger.WarnContext(ctx, "times of a log segment are lost", slog.String("segment", seg.Name), slog.Any(logging.Error, err))
	}
	return opened{seg.Name, data, m}, nil
}

// split tells the bytes of a segment's object from its index.
func (seg Segment) split(packed []byte) (frame, index []byte) {
	end := min(max(seg.Stored-seg.Index, 0), int64(len(packed)))
	if seg.Index <= 0 {
		return packed, nil
	}
	return packed[:end], packed[end:]
}

// object reads an object. With ErrDigestMismatch it gives what is there.
func (s *Store) object(ctx context.Context, name string) ([]byte, error) {
	result, err := s.objects.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = result.Close() }() // it was only read
	return io.ReadAll(result)
}
