package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/attune/attune/pkg/api"
)

// Runners lists the runners that live.
func (c *Client) Runners(ctx context.Context, limit int) ([]api.Runner, bool, error) {
	return list[api.Runner](ctx, c, path("runners"), nil, limit)
}

// Runner gives a runner that lives.
func (c *Client) Runner(ctx context.Context, name string) (api.Runner, error) {
	return get[api.Runner](ctx, c, path("runners", name), nil)
}

// Services tells how the services behind the API stand.
func (c *Client) Services(ctx context.Context) ([]api.Service, error) {
	all, _, err := list[api.Service](ctx, c, path("services"), nil, 100)
	return all, err
}

// Health tells how the service stands. A service that lacks something still gives its health, without error.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	return c.health(ctx, "/healthz")
}

// Ready tells whether the service can work, with each thing that it needs.
func (c *Client) Ready(ctx context.Context) (api.Health, error) {
	return c.health(ctx, "/readyz")
}

func (c *Client) health(ctx context.Context, path string) (api.Health, error) {
	r := request{method: http.MethodGet, path: path}
	req, err := c.build(ctx, r)
	if err != nil {
		return api.Health{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return api.Health{}, c.unreachable(ctx, r, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var h api.Health
	if err := errors.Join(err, json.Unmarshal(data, &h)); err != nil || h.Status == "" {
		return api.Health{}, fmt.Errorf("GET %s: %w: %s", path, ErrBadAnswer, resp.Status)
	}
	return h, nil
}
