package logs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// Extent is how much there is of a stream.
type Extent struct {
	Bytes    int64
	Complete bool   // nothing will be added
	Tag      string // of a complete stream: another for other bytes, the same from every process
}

// Extent tells how much there is of a stream now. Of the request the names count, and Ended.
func (s *Store) Extent(ctx context.Context, r Request) (Extent, error) {
	subj, err := subject(r.Execution, r.Stream)
	if err != nil {
		return Extent{}, err
	}
	c := &cursor{store: s, req: r, subject: subj}
	if err := c.load(ctx); err != nil {
		return Extent{}, err
	}
	if c.complete {
		return extentOf(c.stored)
	}
	size, err := c.size(ctx)
	if err != nil {
		return Extent{}, err
	}
	silent, err := c.endedSilently(ctx)
	if err != nil {
		return Extent{}, err
	}
	if c.complete { // meanwhile
		return extentOf(c.stored)
	}
	if size == 0 && silent {
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
