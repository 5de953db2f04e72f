package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/attune/attune/pkg/api"
)

// Queues lists the lines that have work or were paused.
func (c *Client) Queues(ctx context.Context, limit int) ([]api.QueueStats, bool, error) {
	return list[api.QueueStats](ctx, c, path("queues"), nil, limit)
}

// Queue shows the line of an action in order, or of one concurrency key of it: at most limit entries, 0 meaning
// all. NextCursor of the answer tells that there are more.
func (c *Client) Queue(ctx context.Context, ref string, f Filter, limit int) (api.Queue, error) {
	q := f.query()
	var whole api.Queue
	for {
		q.Set("limit", strconv.Itoa(pageSize(limit, len(whole.Entries))))
		page, err := get[api.Queue](ctx, c, path("queues", ref), q)
		if err != nil {
			return api.Queue{}, err
		}
		page.Entries = append(whole.Entries, page.Entries...)
		whole = page
		if whole.NextCursor == "" || (limit > 0 && len(whole.Entries) >= limit) {
			return whole, nil
		}
		q.Set("cursor", whole.NextCursor)
	}
}

// QueueStats says how the line of an action stands, all keys together.
func (c *Client) QueueStats(ctx context.Context, ref string) (api.QueueStats, error) {
	return get[api.QueueStats](ctx, c, path("actions", ref, "queue-stats"), nil)
}

// SetQueuePaused pauses or resumes the line of an action.
func (c *Client) SetQueuePaused(ctx context.Context, ref string, paused bool) (api.QueueStats, error) {
	verb := "resume"
	if paused {
		verb = "pause"
	}
	return call[api.QueueStats](ctx, c, request{method: http.MethodPost, path: path("queues", ref, verb), safe: true})
}

// Runners lists the runners that live.
func (c *Client) Runners(ctx context.Context, limit int) ([]api.Runner, bool, error) {
	return list[api.Runner](ctx, c, path("runners"), nil, limit)
}

// Secrets lists the names of secrets.
func (c *Client) Secrets(ctx context.Context, limit int) ([]api.Secret, bool, error) {
	return list[api.Secret](ctx, c, path("secrets"), nil, limit)
}

// SetSecret sets a secret's value.
func (c *Client) SetSecret(ctx context.Context, name, value string) (api.Secret, error) {
	req, err := withJSON(request{method: http.MethodPut, path: path("secrets", name)}, api.SecretValue{Value: value})
	if err != nil {
		return api.Secret{}, err
	}
	return call[api.Secret](ctx, c, req)
}

// DeleteSecret removes a secret.
func (c *Client) DeleteSecret(ctx context.Context, name string) error {
	return c.remove(ctx, path("secrets", name))
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
