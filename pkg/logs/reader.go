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
	End       int64  // the first byte not wanted any more; 0: all
	Tail      int    // the last lines only, but not what is before Offset; 0: all
	Follow    bool   // wait for more until the log is complete
	Timed     bool   // cut chunks so that the time of each is true, as exactly as it was stored, for all of it

	// Since leaves out what was written before, as exactly as the times of the log are kept. Zero: nothing.
	Since time.Time

	// Ended tells whether what writes the log has ended, for a log that is not an execution's: its id is then any
	// token. A follower asks it at least once a second. nil: the execution's state tells.
	Ended func(context.Context) (bool, error)
}

// Read gives a log from the wanted offset to its end, stored parts from their segments and the rest live. With
// Follow it ends when the execution has ended and all of its output was given. A reader who leaves the loop
// has left nothing behind; one who is slow slows nobody else.
func (s *Store) Read(ctx context.Context, r Request) iter.Seq2[Chunk, error] {
	return s.read(ctx, r, nil)
}

// read is Read that calls idle, unless it is nil, before it waits for more. It ends when idle returns false.
func (s *Store) read(ctx context.Context, r Request, idle func() bool) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		c, err := s.open(ctx, r)
		if err != nil {
			yield(Chunk{}, err)
			return
		}
		defer c.close()
		c.idle = idle
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
	idle    func() bool // may be nil

	stored   StreamManifest
	segment  opened // the one that was read last
	complete bool
	ended    bool // the execution has ended; nothing will be published any more

	seq    uint64 // where to look on in LOGS
	last   bool   // the live end has been read
	wake   *waker // set while following
	pushed bool   // what woke the follower was the output itself, and more of it may be on its way
	moved  bool   // the cursor went on by pushed output, so seq is behind it
	begun  bool   // what is wanted by its time has begun
}

func (s *Store) cursor(r Request) (*cursor, error) {
	subj, err := subject(r.Execution, r.Stream)
	if err != nil {
		return nil, err
	}
	if r.Offset < 0 || r.Tail < 0 || r.End < 0 {
		return nil, fmt.Errorf("offset %d, end %d, tail %d: %w", r.Offset, r.End, r.Tail, ErrBadRequest)
	}
	r.Timed = r.Timed || !r.Since.IsZero()
	return &cursor{store: s, req: r, subject: subj, pos: r.Offset}, nil
}

func (s *Store) open(ctx context.Context, r Request) (*cursor, error) {
	c, err := s.cursor(r)
	if err != nil {
		return nil, err
	}
	if r.Follow {
		if c.wake, err = s.newWaker(r.Execution, c.subject); err != nil {
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
	if err := c.narrow(ctx); err != nil {
		return err
	}
	return c.seek(ctx)
}

// narrow moves the cursor to the first byte that may be wanted of what is there.
func (c *cursor) narrow(ctx context.Context) error {
	if c.req.Tail > 0 {
		start, err := c.startOfTail(ctx)
		if err != nil {
			return err
		}
		c.pos = max(c.pos, start)
	}
	if !c.req.Since.IsZero() {
		start, err := c.startOfSince(ctx)
		if err != nil {
			return err
		}
		c.pos = max(c.pos, start)
	}
	return nil
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

// next gives the next chunk of what is wanted, or io.EOF.
func (c *cursor) next(ctx context.Context) (Chunk, error) {
	for {
		if c.req.End > 0 && c.pos >= c.req.End {
			return Chunk{}, io.EOF
		}
		chunk, err := c.any(ctx)
		if err != nil || !c.early(chunk) {
			return chunk.until(c.req.End), err
		}
	}
}

// any gives the chunk at the cursor, or io.EOF.
func (c *cursor) any(ctx context.Context) (Chunk, error) {
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
