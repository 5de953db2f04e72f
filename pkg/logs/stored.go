package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

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
		data, err := c.store.segment(ctx, seg)
		if errors.Is(err, errDamaged) {
			c.store.Logger.ErrorContext(ctx, "log segment is damaged", slog.String("segment", seg.Name), slog.Any(logging.Error, err))
			return Chunk{Offset: c.pos, Missing: seg.Offset + seg.Bytes - c.pos, Time: seg.First}, nil
		}
		if err != nil {
			return Chunk{}, err
		}
		return Chunk{Offset: c.pos, Data: data[c.pos-seg.Offset:], Time: seg.First}, nil
	}
	return Chunk{Offset: c.pos, Missing: c.stored.Bytes - c.pos}, nil
}

func (c *cursor) inline() Chunk {
	if int64(len(c.stored.Inline)) != c.stored.Bytes {
		return Chunk{Offset: c.pos, Missing: c.stored.Bytes - c.pos}
	}
	return Chunk{Offset: c.pos, Data: c.stored.Inline[c.pos:], Time: c.stored.First}
}

// segment reads a segment and checks it: the bucket's digest over what was stored, the frame's own checksum
// and the length over what it holds.
func (s *Store) segment(ctx context.Context, seg Segment) ([]byte, error) {
	packed, err := s.objects.GetBytes(ctx, seg.Name)
	if errors.Is(err, jetstream.ErrObjectNotFound) || errors.Is(err, jetstream.ErrDigestMismatch) {
		return nil, fmt.Errorf("segment %s: %w: %w", seg.Name, errDamaged, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", seg.Name, err)
	}
	data, err := decoder.DecodeAll(packed, make([]byte, 0, min(seg.Bytes, MaxSegmentBytes)))
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w: %w", seg.Name, errDamaged, err)
	}
	if int64(len(data)) != seg.Bytes {
		return nil, fmt.Errorf("segment %s: %d bytes, want %d: %w", seg.Name, len(data), seg.Bytes, errDamaged)
	}
	return data, nil
}
