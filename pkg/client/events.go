package client

import (
	"context"
	"net/http"

	"github.com/attune/attune/pkg/api"
)

// Publish publishes an event. An event with an id may be published again: it is the same event.
func (c *Client) Publish(ctx context.Context, e api.EventRequest) (api.EventAccepted, error) {
	req, err := withJSON(request{method: http.MethodPost, path: path("events"), safe: e.ID != ""}, e)
	if err != nil {
		return api.EventAccepted{}, err
	}
	return call[api.EventAccepted](ctx, c, req)
}

// Events lists the events that fit the filter, newest first: trigger, status, since, until.
func (c *Client) Events(ctx context.Context, f Filter, limit int) ([]api.Event, bool, error) {
	return list[api.Event](ctx, c, path("events"), f, limit)
}

// Event shows an event with what every rule decided about it.
func (c *Client) Event(ctx context.Context, id string) (api.Event, error) {
	return get[api.Event](ctx, c, path("events", id), nil)
}

// Tail hands every event that fits the filter (trigger) to handle, from now on and in order, until ctx ends or
// handle returns an error; ErrStop ends it without one.
func (c *Client) Tail(ctx context.Context, f Filter, handle func(api.Event) error) error {
	return c.stream(ctx, feed{path: path("events", "stream"), query: f.query(), handle: each(api.StreamedEvent, handle)})
}
