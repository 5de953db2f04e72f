package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/attune/attune/pkg/api"
)

// Tokens lists the tokens that were not revoked.
func (c *Client) Tokens(ctx context.Context, limit int) ([]api.Token, bool, error) {
	return list[api.Token](ctx, c, path("tokens"), nil, limit)
}

// CreateToken makes a token. Its text is in the answer, and nowhere else.
func (c *Client) CreateToken(ctx context.Context, n api.NewToken) (api.TokenCreated, error) {
	return post[api.TokenCreated](ctx, c, path("tokens"), n)
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	return c.remove(ctx, path("tokens", name))
}

// Users lists users.
func (c *Client) Users(ctx context.Context, limit int) ([]api.User, bool, error) {
	return list[api.User](ctx, c, path("users"), nil, limit)
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, n api.NewUser) (api.User, error) {
	return post[api.User](ctx, c, path("users"), n)
}

// SetPassword gives a user another password.
func (c *Client) SetPassword(ctx context.Context, name, password string) (api.User, error) {
	return post[api.User](ctx, c, path("users", name, "password"), api.Password{Password: password})
}

// SetRights says anew what a user may do.
func (c *Client) SetRights(ctx context.Context, name string, r api.UserRights) (api.User, error) {
	return post[api.User](ctx, c, path("users", name, "rights"), r)
}

// SetUserEnabled keeps a user out, or lets it in again.
func (c *Client) SetUserEnabled(ctx context.Context, name string, enabled bool) (api.User, error) {
	verb := "disable"
	if enabled {
		verb = "enable"
	}
	return call[api.User](ctx, c, request{method: http.MethodPost, path: path("users", name, verb)})
}

// ExchangeCode opens the session that a browser has signed in for.
func (c *Client) ExchangeCode(ctx context.Context, code, verifier string) (api.SessionOpened, error) {
	return post[api.SessionOpened](ctx, c, path("session", "exchange"), api.CodeExchange{Code: code, Verifier: verifier})
}

// Session says who calls, and what it may do.
func (c *Client) Session(ctx context.Context) (api.Session, error) {
	return get[api.Session](ctx, c, path("session"), nil)
}

// Audit lists who changed what, newest first.
func (c *Client) Audit(ctx context.Context, f Filter, limit int) ([]api.AuditEntry, bool, error) {
	return list[api.AuditEntry](ctx, c, path("audit"), f, limit)
}

// VerifyAudit checks every row of the audit; expect may be a head that was noted earlier.
func (c *Client) VerifyAudit(ctx context.Context, expect string) (api.AuditReport, error) {
	q := url.Values{}
	if expect != "" {
		q.Set("expect", expect)
	}
	return get[api.AuditReport](ctx, c, path("audit", "verify"), q)
}

func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	var none T
	req, err := withJSON(request{method: http.MethodPost, path: path}, body)
	if err != nil {
		return none, err
	}
	return call[T](ctx, c, req)
}
