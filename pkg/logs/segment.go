package logs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/logging"
)

// inlineBytes is the longest stream that is kept in the manifest itself: most executions print a few lines,
// and one object costs a third of two.
const inlineBytes = 16 << 10

// encoders holds encoders that are not in use; each has about a megabyte of tables.
var encoders = sync.Pool{New: func() any {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(512<<10), zstd.WithEncoderCRC(true))
	if err != nil {
		panic(fmt.Sprintf("zstd options: %v", err)) // they are constant
	}
	return enc
}}

// segmenter cuts a stream into segments and uploads each while the next is filled. It holds at most two of
// them, compressed. It belongs to one goroutine.
type segmenter struct {
	s    *stream
	slot chan struct{} // held by the upload that runs; whoever holds it owns manifest, full and err

	head    []byte // the first bytes, as long as they may be kept inline
	enc     *zstd.Encoder
	out     *bytes.Buffer
	current Segment
	times   marker // of the current segment
	cut     int    // how many segments were cut

	manifest StreamManifest
	full     bool  // the store had no room for a segment: nothing behind it is stored either
	err      error // of an upload
}

func newSegmenter(s *stream) *segmenter {
	return &segmenter{s: s, slot: make(chan struct{}, 1)}
}

// resume goes on behind what attempts before have left, and gives the offset of what comes next. What they had
// published and not stored is kept now.
func (g *segmenter) resume() (int64, error) {
	g.manifest, g.cut = g.s.base, len(g.s.base.Segments)
	g.current.Offset = g.s.base.Bytes
	offset := g.s.base.Bytes
	for _, c := range g.s.tail {
		var whole bytes.Buffer
		if _, err := c.WriteTo(&whole); err != nil {
			return 0, err
		}
		if err := g.add(whole.Bytes(), c.Time, notPublished); err != nil {
			return 0, err
		}
		offset = c.Next()
	}
	g.s.tail = nil
	return offset, nil
}

// notPublished stands for a sequence of LOGS that is not known.
func notPublished() (uint64, error) { return 0, nil }

// add keeps a chunk, which stands in LOGS under the sequence that published waits for: it is compressed meanwhile.
func (g *segmenter) add(chunk []byte, at time.Time, published func() (uint64, error)) error {
	for len(chunk) > 0 {
		n := min(int64(len(chunk)), g.s.w.limits.SegmentBytes-g.current.Bytes)
		if err := g.compress(chunk[:n]); err != nil {
			return err
		}
		seq, err := published()
		if err != nil {
			return err
		}
		if g.current.Bytes == 0 {
			g.current.First = at
		}
		g.times.add(g.current.Bytes, at)
		g.current.Bytes += n
		g.current.Last, g.current.LiveAt = at, seq
		chunk = chunk[n:]
		if g.current.Bytes == g.s.w.limits.SegmentBytes {
			if err := g.rotate(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *segmenter) compress(p []byte) error {
	if g.enc == nil {
		if g.cut == 0 && len(g.head)+len(p) <= inlineBytes {
			g.head = append(g.head, p...)
			return nil
		}
		if err := g.begin(); err != nil {
			return err
		}
	}
	_, err := g.enc.Write(p)
	return err
}

// startSegment puts what was kept for the manifest into a segment.
func (g *segmenter) startSegment() error {
	if len(g.head) == 0 {
		return nil
	}
	return g.begin()
}

func (g *segmenter) begin() error {
	g.out = new(bytes.Buffer)
	g.enc, _ = encoders.Get().(*zstd.Encoder)
	g.enc.Reset(g.out)
	_, err := g.enc.Write(g.head)
	g.head = nil
	return err
}

// rotate ends the current segment and begins its upload, when the one before has arrived.
func (g *segmenter) rotate() error {
	if err := g.enc.Close(); err != nil {
		return fmt.Errorf("compress segment: %w", err)
	}
	encoders.Put(g.enc)
	g.enc = nil
	seg, index := g.current, g.times.marks.frame()
	data := append(g.out.Bytes(), index...)
	seg.Name, seg.Stored, seg.Index = segmentName(g.s.w.execution, g.s.name, g.cut), int64(len(data)), int64(len(index))
	sum := sha256.Sum256(data)
	seg.Digest = hex.EncodeToString(sum[:])
	g.current, g.times = Segment{Offset: seg.Offset + seg.Bytes}, marker{}
	g.cut++
	if err := g.acquire(); err != nil {
		return err
	}
	go g.upload(seg, data)
	return nil
}

func (g *segmenter) acquire() error {
	select {
	case g.slot <- struct{}{}:
		return nil
	case <-g.s.w.ctx.Done():
		return context.Cause(g.s.w.ctx)
	}
}

func (g *segmenter) upload(seg Segment, data []byte) {
	defer func() { <-g.slot }()
	if g.err != nil || g.full {
		return
	}
	w := g.s.w
	failpoint.Hit(failpoint.LogsCut)
	err := w.persist(seg.Name, func(ctx context.Context) error { return w.store.putSegment(ctx, seg, data) })
	failpoint.Hit(failpoint.LogsStored)
	switch {
	case errors.Is(err, errFull):
		w.store.Logger.ErrorContext(w.ctx, "rest of a log not stored", slog.String(logging.ExecutionID, w.execution), slog.String("segment", seg.Name), slog.Any(logging.Error, err))
		g.full = true
	case err != nil:
		g.err = err
	default:
		g.manifest.add(seg)
	}
}

// finish stores what is left and tells what is stored then.
func (g *segmenter) finish() (StreamManifest, error) {
	inline := g.cut == 0 && g.enc == nil
	if inline && g.s.w.suspended { // a manifest comes only when the log is complete
		inline = false
		if err := g.startSegment(); err != nil {
			return StreamManifest{}, err
		}
	}
	if g.s.w.suspended {
		g.current.End = endOfAttempt
	}
	if !inline && g.current.Bytes > 0 {
		if err := g.rotate(); err != nil {
			return StreamManifest{}, err
		}
	}
	if err := g.acquire(); err != nil {
		return StreamManifest{}, err
	}
	defer func() { <-g.slot }()
	m := g.manifest
	if inline {
		m.Inline, m.Bytes, m.First, m.Last = g.head, int64(len(g.head)), g.current.First, g.current.Last
		if len(g.times.marks) > 1 { // one alone is First
			m.Marks = g.times.marks
		}
	}
	if g.full { // readers see from the length that the rest is missing
		g.s.lose(g.current.Offset - m.Bytes)
		m.Bytes = g.current.Offset
	}
	sum := g.s.summary()
	m.Written, m.Dropped = g.s.base.Bytes+sum.Written, sum.Dropped
	return m, g.err
}

// wait returns when no upload runs.
func (g *segmenter) wait() {
	g.slot <- struct{}{}
	<-g.slot
}
