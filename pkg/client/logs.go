package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/attune/attune/pkg/api"
)

// Log says which part of an execution's output to read.
type Log struct {
	Execution string
	Stream    string // stdout or stderr
	Offset    int64  // first byte of the whole output
	Tail      int    // only the last so many lines; 0: all
	Follow    bool   // go on until the execution has ended
}

// Logs copies an execution's output to w and returns the offset behind its last byte. A broken connection is
// resumed there, so that w sees every byte once.
func (c *Client) Logs(ctx context.Context, l Log, w io.Writer) (int64, error) {
	at := position{path: path("executions", l.Execution, "logs", l.Stream), query: url.Values{}, offset: l.Offset, tail: l.Tail}
	if l.Follow {
		at.query.Set("follow", "true")
	}
	err := c.resume(ctx, func() (bool, error) { return c.copyOnce(ctx, &at, w) })
	return at.offset, err
}

// position is where the reading of a log is.
type position struct {
	path   string
	query  url.Values
	offset int64
	tail   int
}

// copyOnce reads a log over one connection, and notes in at how far it came. ErrStop says that this was all.
func (c *Client) copyOnce(ctx context.Context, at *position, w io.Writer) (connected bool, err error) {
	q := at.query
	q.Del("tail")
	if at.tail > 0 {
		q.Set("tail", strconv.Itoa(at.tail))
	} else if at.offset > 0 {
		q.Set("offset", strconv.FormatInt(at.offset, 10))
	}
	resp, err := c.once(ctx, request{method: http.MethodGet, path: at.path, query: q})
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if offset, err := strconv.ParseInt(resp.Header.Get(api.HeaderOffset), 10, 64); err == nil {
		at.offset = offset
	}
	at.tail = 0 // from here on the offset is known
	n, err := copyTo(w, resp.Body)
	at.offset += n
	if err == nil {
		err = ErrStop
	}
	return true, err
}

// copyTo copies and tells failures of the writer, which end everything, from those of the reader.
func copyTo(w io.Writer, r io.Reader) (int64, error) {
	out := &noting{w: w}
	n, err := io.Copy(out, r)
	if out.err != nil {
		return n, handled{fmt.Errorf("write output: %w", out.err)}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return n, err
}

// noting remembers the error of a writer.
type noting struct {
	w   io.Writer
	err error
}

func (n *noting) Write(p []byte) (int, error) {
	written, err := n.w.Write(p)
	n.err = err
	return written, err
}
