package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/api"
)

// maxLine bounds a line of an event stream.
const maxLine = 8 << 20

// ServerEvent is one event of a stream of server-sent events.
type ServerEvent struct {
	ID   string
	Name string
	Data []byte
}

// ErrGap is returned when a stream cannot be resumed without missing something, because the API no longer has it.
var ErrGap = errors.New("some of what happened meanwhile can no longer be sent")

// ErrStop is returned by a function that follows, when it has seen enough. Following then ends without error.
var ErrStop = errors.New("seen enough")

// feed is a stream of server-sent events to follow.
type feed struct {
	path   string
	query  url.Values
	opened func() error // called on each connection before the first event; may be nil
	handle func(ServerEvent) error

	answered func(http.Header) // called with the headers of each connection; may be nil

	last string // id of the last event that was handled
}

// stream follows server-sent events and hands each to handle, in order. After a broken connection it resumes
// behind the last event that was handled, for as long as attempts get through within the patience. It ends when
// ctx does, when the API refuses, or when handle or opened returns an error.
func (c *Client) stream(ctx context.Context, f feed) error {
	return c.resume(ctx, func() (bool, error) { return c.streamOnce(ctx, &f) })
}

func (c *Client) streamOnce(ctx context.Context, f *feed) (connected bool, err error) {
	r := request{method: http.MethodGet, path: f.path, query: f.query, header: http.Header{"Accept": {"text/event-stream"}}}
	if f.last != "" {
		r.header.Set(api.HeaderLastEventID, f.last)
	}
	ctx, drop := context.WithCancel(ctx)
	defer drop()
	resp, err := c.once(ctx, r)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	body := &watched{r: resp.Body, silence: time.AfterFunc(maxSilence, drop)}
	defer body.silence.Stop()
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/event-stream" {
		return true, handled{fmt.Errorf("GET %s: %w: %q is no event stream", f.path, ErrBadAnswer, media)}
	}
	if f.answered != nil {
		f.answered(resp.Header)
	}
	if f.opened != nil {
		if err := f.opened(); err != nil {
			return true, err
		}
	}
	return true, readEvents(body, f.take)
}

// maxSilence is how long a stream may bring nothing; the API sends a sign of life every ten seconds.
const maxSilence = 35 * time.Second

// watched is a reader that drops its connection when nothing comes.
type watched struct {
	r       io.Reader
	silence *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.silence.Reset(maxSilence)
	return n, err
}

// take hands an event on, unless it only says where the stream stands.
func (f *feed) take(e ServerEvent) error {
	if len(e.Data) > 0 {
		if err := f.handle(e); err != nil {
			return handled{err}
		}
	}
	if e.ID != "" {
		f.last = e.ID
	}
	return nil
}

// handled carries an error of the function that was given what was followed: it ends the following.
type handled struct{ error }

func (h handled) Unwrap() error { return h.error }

// resumePause is that before following is taken up again.
const resumePause = 250 * time.Millisecond

// resume calls follow again and again while it breaks off. It gives up when no connection was made for the
// patience, which is longer once there has been one. A nil error of follow means that the connection ended, which
// is no end of what is followed.
func (c *Client) resume(ctx context.Context, follow func() (connected bool, err error)) error {
	between := c.pauses(backoff.NewConstantBackOff(resumePause))
	for {
		connected, err := follow()
		if end, result := ended(ctx, err); end {
			return result
		}
		if connected {
			between = c.pauses(between.grow)
			between.away, between.later, between.tell = c.config.FollowPatience, c.config.FollowPatience, nil
		}
		between.err = err
		pause := between.NextBackOff()
		if pause == backoff.Stop {
			return brokenOff(err)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// ended tells whether following is over, and how.
func ended(ctx context.Context, err error) (bool, error) {
	var h handled
	var p *Problem
	switch {
	case errors.Is(err, ErrStop):
		return true, nil
	case errors.As(err, &h):
		return true, h.error
	case ctx.Err() != nil:
		return true, context.Cause(ctx)
	case errors.As(err, &p) && !temporary(p):
		return true, err
	}
	return false, nil
}

func brokenOff(err error) error {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, ErrUnreachable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// readEvents takes a stream of server-sent events apart, as the HTML standard describes it.
func readEvents(r io.Reader, handle func(ServerEvent) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var e ServerEvent
	var data [][]byte
	for lines.Scan() {
		line := lines.Text()
		if line != "" {
			data = e.field(line, data)
			continue
		}
		if len(data) > 0 || e.ID != "" {
			e.Data = bytes.Join(data, []byte("\n"))
			if err := handle(e); err != nil {
				return err
			}
		}
		e, data = ServerEvent{}, nil
	}
	return lines.Err() // an event without its empty line was cut off: it does not count
}

func (e *ServerEvent) field(line string, data [][]byte) [][]byte {
	name, value, _ := strings.Cut(line, ":") // a comment has an empty name
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		e.ID = value
	case "event":
		e.Name = value
	case "data":
		return append(data, []byte(value))
	}
	return data
}
