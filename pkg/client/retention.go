package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/attune/attune/pkg/api"
)

// Retention tells which logs are kept, and how the last sweep went.
func (c *Client) Retention(ctx context.Context) (api.Retention, error) {
	return call[api.Retention](ctx, c, request{method: http.MethodGet, path: path("retention")})
}

// Sweep asks for what no policy keeps to be removed; with dryRun it only tells what that is.
func (c *Client) Sweep(ctx context.Context, dryRun bool) (api.RetentionAsked, error) {
	req := request{method: http.MethodPost, path: path("retention", "sweep")}
	if dryRun {
		req.query = url.Values{"dry_run": {"true"}}
	}
	return call[api.RetentionAsked](ctx, c, req)
}
