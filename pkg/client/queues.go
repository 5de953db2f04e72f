package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

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

// QueueStats says how a scope stands: an action with all its keys, a pack or api.ScopeAll.
func (c *Client) QueueStats(ctx context.Context, ref string) (api.QueueStats, error) {
	return get[api.QueueStats](ctx, c, path("actions", ref, "queue-stats"), nil)
}

// PauseQueues lets nobody more of a scope start: an action ("pack.action"), a pack ("pack") or api.ScopeAll. It
// ends after the duration, or, when that is 0, with ResumeQueues.
func (c *Client) PauseQueues(ctx context.Context, scope string, d time.Duration) (api.QueueStats, error) {
	var body api.QueuePause
	if d != 0 {
		body.For = d.String()
	}
	return c.steer(ctx, scope, "pause", body)
}

// ResumeQueues ends the pause and the draining of a scope.
func (c *Client) ResumeQueues(ctx context.Context, scope string) (api.QueueStats, error) {
	return c.steer(ctx, scope, "resume", nil)
}

// DrainQueues refuses what is requested of a scope from now on. What waits still runs.
func (c *Client) DrainQueues(ctx context.Context, scope string) (api.QueueStats, error) {
	return c.steer(ctx, scope, "drain", nil)
}

// LimitQueues sets how many of a scope run at once; nil brings back what is declared.
func (c *Client) LimitQueues(ctx context.Context, scope string, limit *int) (api.QueueStats, error) {
	return c.steer(ctx, scope, "limit", api.QueueLimit{Limit: limit})
}

// steer says something of a scope, which may be said twice.
func (c *Client) steer(ctx context.Context, scope, verb string, body any) (api.QueueStats, error) {
	r := request{method: http.MethodPost, path: path("queues", scope, verb), safe: true}
	if body != nil {
		var err error
		if r, err = withJSON(r, body); err != nil {
			return api.QueueStats{}, err
		}
	}
	return call[api.QueueStats](ctx, c, r)
}
