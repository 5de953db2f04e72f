package logs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// Extent is how much there is of a stream, and of that, where what is asked for begins.
type Extent struct {
	Start    int64 // not before the wanted offset, which may lie behind the end
	Bytes    int64
	Complete bool   // nothing will be added
	Tag      string // of a complete stream: another for other bytes, the same from every process
}

// Extent tells how much there is of a stream now, and where Read would begin.
func (s *Store) Extent(ctx context.Context, r Request) (Extent, error) {
	r.Follow, r.End = false, 0
	c, err := s.cursor(r)
	if err != nil {
		return Extent{}, err
	}
	if err := c.load(ctx); err != nil {
		return Extent{}, err
	}
	e, err := c.extent(ctx)
	if err != nil {
		return Extent{}, err
	}
	if err := c.narrow(ctx); err != nil {
		return Extent{}, err
	}
	if e.Start = c.pos; r.Since.IsZero() {
		return e, nil
	}
	return e, c.skipEarly(ctx, &e)
}

// skipEarly moves the start behind what was written before what is wanted.
func (c *cursor) skipEarly(ctx context.Context, e *Extent) error {
	if err := c.seek(ctx); err != nil {
		return err
	}
	chunk, err := c.next(ctx)
	switch {
	case errors.Is(err, io.EOF):
		e.Start = max(e.Start, e.Bytes)
		return nil
	case err != nil:
		return err
	}
	e.Start = chunk.Offset
	return nil
}

func (c *cursor) extent(ctx context.Context) (Extent, error) {
	if c.complete {
		return extentOf(c.stored)
	}
	size, err := c.size(ctx)
	if err != nil {
		return Extent{}, err
	}
	silent, err := c.endedSilently(ctx)
	switch {
	case err != nil:
		return Extent{}, err
	case c.complete: // meanwhile
		return extentOf(c.stored)
	case size == 0 && silent:
		return extentOf(StreamManifest{})
	}
	return Extent{Bytes: size}, nil
}

// endedSilently tells whether nothing will be written to a log of which nothing is stored.
func (c *cursor) endedSilently(ctx context.Context) (bool, error) {
	if c.req.Ended != nil {
		err := c.askWhetherEnded(ctx)
		return c.ended && errors.Is(err, errNothingYet), ignore(err, errNothingYet)
	}
	st, err := c.store.facts.Find(ctx, c.req.Execution)
	switch {
	case errors.Is(err, execution.ErrNotFound):
		return true, c.load(ctx)
	case err != nil:
		return false, err
	case !execution.Final(st.Status):
		return false, nil
	}
	return st.Status != streams.Lost && (st.Output == nil || st.Output.StdoutBytes+st.Output.StderrBytes == 0), c.load(ctx)
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// extentOf is the extent of a stream that is complete.
func extentOf(m StreamManifest) (Extent, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return Extent{}, fmt.Errorf("name the state of a log: %w", err)
	}
	sum := sha256.Sum256(data)
	return Extent{Bytes: m.Bytes, Complete: true, Tag: hex.EncodeToString(sum[:12])}, nil
}
