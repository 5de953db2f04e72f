package logs

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/execution"
)

// lookAgain is how often a follower looks at the bus though nothing woke it: a message to it may be lost.
const lookAgain = time.Second

// storeLag is how long the end of an execution may be seen before its stored log, on a replica that lags.
const (
	storeLag     = 2 * time.Second
	storeLagPoll = 50 * time.Millisecond
)

// wait returns when there may be more: with the very output that woke it when that stands at the cursor, else
// with errNothingYet.
func (c *cursor) wait(ctx context.Context) (Chunk, error) {
	if !c.wake.looked {
		c.wake.looked = true
		return Chunk{}, c.lookWhetherEnded(ctx)
	}
	if c.idle != nil && !c.idle() {
		return Chunk{}, io.EOF
	}
	again := time.NewTimer(lookAgain)
	defer again.Stop()
	select {
	case <-ctx.Done():
		return Chunk{}, context.Cause(ctx)
	case m := <-c.wake.output:
		return c.fromMessage(m)
	case <-c.wake.facts:
	case <-again.C:
	}
	c.pushed = false
	return Chunk{}, c.lookWhetherEnded(ctx)
}

// fromMessage gives pushed output when it stands at the cursor. When it does not, the stream is looked at.
func (c *cursor) fromMessage(m *nats.Msg) (Chunk, error) {
	p, err := parsePiece(m.Header, m.Data, 0)
	if err != nil || p.Offset > c.pos || c.wake.dropped.Swap(false) {
		c.pushed = false
		return Chunk{}, errNothingYet
	}
	if p.last {
		c.last = true
	}
	chunk, ok := c.cut(p)
	if !ok {
		return Chunk{}, errNothingYet
	}
	c.pushed, c.moved = true, true
	return chunk, nil
}

// lookWhetherEnded notes the end of the execution, after which the stored log is loaded. It returns
// errNothingYet so that the cursor looks at both again.
func (c *cursor) lookWhetherEnded(ctx context.Context) error {
	if c.req.Ended != nil {
		return c.askWhetherEnded(ctx)
	}
	st, err := c.wake.hub.find(ctx, c.store.facts, c.req.Execution)
	switch {
	case errors.Is(err, execution.ErrNotFound): // long ended: facts are removed some time after the end
	case err != nil:
		return err
	case !execution.Final(st.Status):
		return errNothingYet
	}
	c.ended = true
	if err := c.awaitStored(ctx, st.Output != nil && st.Output.StdoutBytes+st.Output.StderrBytes > 0); err != nil {
		return err
	}
	return errNothingYet
}

// askWhetherEnded is lookWhetherEnded for a log that is not an execution's.
func (c *cursor) askWhetherEnded(ctx context.Context) error {
	ended, err := c.req.Ended(ctx)
	if err != nil {
		return err
	}
	if c.ended = ended; ended {
		if err := c.load(ctx); err != nil {
			return err
		}
	}
	return errNothingYet
}

// awaitStored loads the manifest. A final fact that counts output comes after the log was stored, so a replica
// without it only lags.
func (c *cursor) awaitStored(ctx context.Context, expected bool) error {
	deadline := time.Now().Add(storeLag)
	for {
		if err := c.load(ctx); err != nil || c.complete || !expected || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(storeLagPoll):
		}
	}
}
