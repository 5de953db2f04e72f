package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
)

// Run requests an execution. The key makes repeating the request safe; it must not be empty.
func (c *Client) Run(ctx context.Context, r api.ExecutionRequest, key string) (api.ExecutionAccepted, error) {
	req, err := withJSON(request{
		method: http.MethodPost, path: path("executions"), safe: true,
		header: http.Header{api.HeaderIdempotencyKey: {key}},
	}, r)
	if err != nil {
		return api.ExecutionAccepted{}, err
	}
	return call[api.ExecutionAccepted](ctx, c, req)
}

// Executions lists the executions that fit the filter, newest first: action, status, rule, event, since, until.
func (c *Client) Executions(ctx context.Context, f Filter, limit int) ([]api.Execution, bool, error) {
	return list[api.Execution](ctx, c, path("executions"), f, limit)
}

// Execution shows an execution.
func (c *Client) Execution(ctx context.Context, id string) (api.Execution, error) {
	return get[api.Execution](ctx, c, path("executions", id), nil)
}

// Cancel cancels an execution. Canceling one that is canceled changes nothing.
func (c *Client) Cancel(ctx context.Context, id string) (api.Execution, error) {
	return call[api.Execution](ctx, c, request{method: http.MethodPost, path: path("executions", id, "cancel"), safe: true})
}

// CancelMatching cancels executions that fit the request, as many as the API does in one call; next_cursor of the
// answer tells that there are more.
func (c *Client) CancelMatching(ctx context.Context, r api.CancelRequest) (api.CancelResult, error) {
	req, err := withJSON(request{method: http.MethodPost, path: path("executions", "cancel"), safe: true}, r)
	if err != nil {
		return api.CancelResult{}, err
	}
	return call[api.CancelResult](ctx, c, req)
}

// CancelAllMatching cancels all executions that fit the request, however many calls that takes, and gives the sums.
// Note, which may be nil, sees how far it is after each call. With DryRun it only counts.
func (c *Client) CancelAllMatching(ctx context.Context, r api.CancelRequest, note func(api.CancelResult)) (api.CancelResult, error) {
	sum := api.CancelResult{}
	for first := true; ; first = false {
		step, err := c.CancelMatching(ctx, r)
		if err != nil {
			return sum, err
		}
		if first {
			sum.Matched = step.Matched
		}
		sum.Canceled, sum.Remaining, sum.NextCursor = sum.Canceled+step.Canceled, step.Remaining, step.NextCursor
		if note != nil {
			note(sum)
		}
		if step.NextCursor == "" || r.DryRun {
			return sum, nil
		}
		r.Cursor = step.NextCursor
	}
}

// Retry requests an execution's action again with the same parameters, as a new execution: one for each key.
func (c *Client) Retry(ctx context.Context, id, key string) (api.ExecutionAccepted, error) {
	return call[api.ExecutionAccepted](ctx, c, request{
		method: http.MethodPost, path: path("executions", id, "retry"), safe: true,
		header: http.Header{api.HeaderIdempotencyKey: {key}},
	})
}

// Watch hands every change of an execution that fits the filter (id, action, status, rule) to handle, from now
// on and in order, until ctx ends or handle returns an error; ErrStop ends it without one.
func (c *Client) Watch(ctx context.Context, f Filter, handle func(api.Execution) error) error {
	return c.stream(ctx, feed{path: path("executions", "stream"), query: f.query(), handle: each(api.StreamedExecution, handle)})
}

// Wait returns an execution when it has ended. Note, which may be nil, sees each of its states on the way and may
// end it with an error. It does not poll: it looks when the stream of changes is open, for what happened before,
// and then listens.
func (c *Client) Wait(ctx context.Context, id string, note func(api.Execution) error) (api.Execution, error) {
	w := &waiting{id: id, note: note}
	err := c.stream(ctx, feed{
		path: path("executions", "stream"), query: Filter{"id": id}.query(), handle: each(api.StreamedExecution, w.see),
		opened: func() error {
			x, err := c.Execution(ctx, id)
			if err != nil {
				return err
			}
			return w.see(x)
		},
	})
	return w.last, err
}

// waiting is what Wait has seen.
type waiting struct {
	id   string
	note func(api.Execution) error
	last api.Execution
}

// see takes a state, which may be one that was seen before. Changes come without parameters.
func (w *waiting) see(x api.Execution) error {
	if x.ID != w.id || (w.last.Status == x.Status && w.last.Attempt == x.Attempt) {
		return nil
	}
	if x.Parameters == nil {
		x.Parameters = w.last.Parameters
	}
	w.last = x
	if w.note != nil {
		if err := w.note(x); err != nil {
			return handled{err}
		}
	}
	if execution.Final(x.Status) {
		return ErrStop
	}
	return nil
}

// each decodes the events of one name and hands them on.
func each[T any](name string, handle func(T) error) func(ServerEvent) error {
	return func(e ServerEvent) error {
		switch e.Name {
		case name:
		case api.StreamedGap:
			return fmt.Errorf("stream of %ss: %w: %s", name, ErrGap, e.Data)
		default:
			return nil
		}
		var v T
		if err := json.Unmarshal(e.Data, &v); err != nil {
			return fmt.Errorf("stream of %ss: %w: %w", name, ErrBadAnswer, err)
		}
		return handle(v)
	}
}

// Export copies an execution with its output, as a tar archive, to w. A connection that breaks on the way is an error,
// and what w has is no archive then.
func (c *Client) Export(ctx context.Context, id string, w io.Writer) error {
	return c.resume(ctx, func() (connected bool, err error) {
		resp, err := c.once(ctx, request{method: http.MethodGet, path: path("executions", id, "export")})
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		if _, err := copyTo(w, resp.Body); err != nil {
			return true, handled{err}
		}
		return true, ErrStop
	})
}
