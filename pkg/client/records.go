package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	"github.com/attune/attune/pkg/api"
)

// LogLines says which lines of an execution's output to read, in the order in which they were written.
type LogLines struct {
	Execution string
	Stream    string // stdout or stderr; "": both
	Offset    int64  // first byte wanted of Stream, which must be named then
	Tail      int    // only the last so many lines, of both streams together; 0: all
	Since     string // only what was written since then: a time
	Grep      string // of these only lines that match
	Follow    bool   // go on until the execution has ended
}

func (l LogLines) query() url.Values {
	q := Filter{"stream": l.Stream, "since": l.Since, "grep": l.Grep}.query()
	if l.Offset > 0 {
		q.Set(l.Stream, strconv.FormatInt(l.Offset, 10))
	}
	if l.Tail > 0 {
		q.Set("tail", strconv.Itoa(l.Tail))
	}
	if l.Follow {
		q.Set("follow", "true")
	}
	return q
}

// LogLines hands the records of an execution's output to handle, in order. A broken connection is resumed behind the
// last of them, so that handle sees each once.
func (c *Client) LogLines(ctx context.Context, l LogLines, handle func(api.LogRecord) error) error {
	return c.stream(ctx, feed{
		path: path("executions", l.Execution, "logs"), query: l.query(), handle: eachRecord("execution "+l.Execution, handle),
	})
}

// eachRecord decodes the records of a log and hands them on, up to its end.
func eachRecord(of string, handle func(api.LogRecord) error) func(ServerEvent) error {
	return func(e ServerEvent) error {
		switch e.Name {
		case api.StreamedLogEnd:
			return ErrStop
		case api.StreamedLog:
			var r api.LogRecord
			if err := json.Unmarshal(e.Data, &r); err != nil {
				return fmt.Errorf("log of %s: %w: %w", of, ErrBadAnswer, err)
			}
			return handle(r)
		}
		return nil
	}
}
