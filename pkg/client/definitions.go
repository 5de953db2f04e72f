package client

import (
	"context"
	"net/http"

	"github.com/attune/attune/pkg/api"
)

// Packs lists the installed packs.
func (c *Client) Packs(ctx context.Context, limit int) ([]api.Pack, bool, error) {
	return list[api.Pack](ctx, c, path("packs"), nil, limit)
}

// Pack shows an installed pack.
func (c *Client) Pack(ctx context.Context, name string) (api.Pack, error) {
	return get[api.Pack](ctx, c, path("packs", name), nil)
}

// Actions lists the actions of a pack, or of all when pack is empty.
func (c *Client) Actions(ctx context.Context, pack string, limit int) ([]api.Action, bool, error) {
	return list[api.Action](ctx, c, path("actions"), Filter{"pack": pack}, limit)
}

// Action shows an action.
func (c *Client) Action(ctx context.Context, ref string) (api.Action, error) {
	return get[api.Action](ctx, c, path("actions", ref), nil)
}

// Triggers lists the triggers of a pack, or of all when pack is empty.
func (c *Client) Triggers(ctx context.Context, pack string, limit int) ([]api.Trigger, bool, error) {
	return list[api.Trigger](ctx, c, path("triggers"), Filter{"pack": pack}, limit)
}

// Trigger shows a trigger.
func (c *Client) Trigger(ctx context.Context, ref string) (api.Trigger, error) {
	return get[api.Trigger](ctx, c, path("triggers", ref), nil)
}

// Rules lists the rules that fit the filter: pack, trigger.
func (c *Client) Rules(ctx context.Context, f Filter, limit int) ([]api.Rule, bool, error) {
	return list[api.Rule](ctx, c, path("rules"), f, limit)
}

// Rule shows a rule.
func (c *Client) Rule(ctx context.Context, ref string) (api.Rule, error) {
	return get[api.Rule](ctx, c, path("rules", ref), nil)
}

// SetRuleEnabled turns a rule on or off.
func (c *Client) SetRuleEnabled(ctx context.Context, ref string, enabled bool) (api.Rule, error) {
	verb := "disable"
	if enabled {
		verb = "enable"
	}
	return call[api.Rule](ctx, c, request{method: http.MethodPost, path: path("rules", ref, verb), safe: true})
}
