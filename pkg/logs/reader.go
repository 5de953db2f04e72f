package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Request says which part of a log to read.
type Request struct {
	Execution string
	Stream    string // Stdout or Stderr
	Offset    int64  // the first byte wanted; what lies beyond the end is empty
	Tail      int    // the last lines only, but not what is before Offset; 0: all
	Follow    bool   // wait for more until the log is complete

	// Ended tells whether what writes the log has ended, for a log that is not an execution's: its id is then any
	// token. A follower asks it at least once a second. nil: the execution's state tells.
	Ended func(context.Context) (bool, error)
}

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

// Read gives a log from the wanted offset to its end, stored parts from their segments and the rest live. With
// Follow it ends when the execution has ended and all of its output was given. A reader who leaves the loop
// has left nothing behind; one who is slow slows nobody else.
func (s *Store) Read(ctx context.Context, r Request) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		c, err := s.open(ctx, r)
		if err != nil {
			yield(Chunk{}, err)
			return
		}
		defer c.close()
		for {
			chunk, err := c.next(ctx)
			if errors.Is(err, io.EOF) || !yield(chunk, err) || err != nil {
				return
			}
		}
	}
}

// cursor is a place in a log.
type cursor struct {
	store   *Store
	req     Request
	subject string
	pos     int64

	stored   StreamManifest
	complete bool
	ended    bool // the execution has ended; nothing will be published any more

	seq    uint64 // where to look on in LOGS
	last   bool   // the live end has been read
	wake   *waker // set while following
	pushed bool   // what woke the follower was the output itself, and more of it may be on its way
	moved  bool   // the cursor went on by pushed output, so seq is behind it
}

func (s *Store) open(ctx context.Context, r Request) (*cursor, error) {
	subj, err := subject(r.Execution, r.Stream)
	if err != nil {
		return nil, err
	}
	if r.Offset < 0 || r.Tail < 0 {
		return nil, fmt.Errorf("offset %d, tail %d: %w", r.Offset, r.Tail, ErrBadRequest)
	}
	c := &cursor{store: s, req: r, subject: subj, pos: r.Offset}
	if r.Follow {
		if c.wake, err = s.newWaker(r.Execution, subj); err != nil {
			return nil, err
		}
	}
	if err := c.begin(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cursor) begin(ctx context.Context) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	if c.req.Tail > 0 {
		start, err := c.startOfTail(ctx)
		if err != nil {
			return err
		}
		c.pos = max(c.pos, start)
	}
	return c.seek(ctx)
}

func (c *cursor) close() {
	if c.wake != nil {
		c.wake.stop()
	}
}

// load finds out what is stored.
func (c *cursor) load(ctx context.Context) error {
	m, err := c.store.Manifest(ctx, c.req.Execution)
	if errors.Is(err, ErrNoManifest) {
		c.stored, err = c.store.segments(ctx, c.req.Execution, c.req.Stream)
		return err
	}
	c.stored, c.complete = m.Streams[c.req.Stream], m.Complete
	return err
}

// next gives the chunk at the cursor, or io.EOF.
func (c *cursor) next(ctx context.Context) (Chunk, error) {
	for {
		if c.pos < c.stored.Bytes {
			return c.advance(c.fromStore(ctx))
		}
		if c.complete || c.last {
			return Chunk{}, io.EOF
		}
		chunk, err := c.more(ctx)
		if !errors.Is(err, errNothingYet) {
			return c.advance(chunk, err)
		}
	}
}

// more gives what follows the stored part. It returns errNothingYet when the cursor must look again.
func (c *cursor) more(ctx context.Context) (Chunk, error) {
	if !c.pushed {
		chunk, err := c.fromLive(ctx)
		if !errors.Is(err, errNothingYet) || c.last {
			return chunk, err
		}
		if c.ended || !c.req.Follow {
			return Chunk{}, io.EOF
		}
	}
	return c.wait(ctx)
}

func (c *cursor) advance(chunk Chunk, err error) (Chunk, error) {
	if err == nil {
		c.pos = chunk.Next()
	}
	return chunk, err
}
