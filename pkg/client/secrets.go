package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/attune/attune/pkg/api"
)

// SecretScope says whose secrets are meant; the zero value is those of the installation, and in a list all.
type SecretScope struct{ Pack, User string }

func (s SecretScope) filter() Filter { return Filter{"pack": s.Pack, "user": s.User} }

func (s SecretScope) query() url.Values { return s.filter().query() }

// Secrets lists the names of secrets.
func (c *Client) Secrets(ctx context.Context, s SecretScope, limit int) ([]api.Secret, bool, error) {
	return list[api.Secret](ctx, c, path("secrets"), s.filter(), limit)
}

// SecretVersions lists the versions of a secret that are kept.
func (c *Client) SecretVersions(ctx context.Context, s SecretScope, name string, limit int) ([]api.SecretVersion, bool, error) {
	return list[api.SecretVersion](ctx, c, path("secrets", name, "versions"), s.filter(), limit)
}

// SetSecret sets the value of a secret of the installation, for ever.
func (c *Client) SetSecret(ctx context.Context, name, value string) (api.Secret, error) {
	return c.PutSecret(ctx, SecretScope{}, name, api.SecretValue{Value: value})
}

// PutSecret sets a secret's value.
func (c *Client) PutSecret(ctx context.Context, s SecretScope, name string, v api.SecretValue) (api.Secret, error) {
	return c.changeSecret(ctx, http.MethodPut, s, v, "secrets", name)
}

// RestoreSecret gives a secret the value of an earlier version.
func (c *Client) RestoreSecret(ctx context.Context, s SecretScope, name string, v api.SecretRestore) (api.Secret, error) {
	return c.changeSecret(ctx, http.MethodPost, s, v, "secrets", name, "restore")
}

// RotateSecret seals a secret under fresh data keys.
func (c *Client) RotateSecret(ctx context.Context, s SecretScope, name string) (api.Secret, error) {
	return c.changeSecret(ctx, http.MethodPost, s, nil, "secrets", name, "rotate")
}

func (c *Client) changeSecret(ctx context.Context, method string, s SecretScope, body any, parts ...string) (api.Secret, error) {
	req := request{method: method, path: path(parts...), query: s.query()}
	if body != nil {
		var err error
		if req, err = withJSON(req, body); err != nil {
			return api.Secret{}, err
		}
	}
	return call[api.Secret](ctx, c, req)
}

// DeleteSecret removes a secret with all its versions.
func (c *Client) DeleteSecret(ctx context.Context, s SecretScope, name string) error {
	_, err := call[none](ctx, c, request{method: http.MethodDelete, path: path("secrets", name), query: s.query()})
	return err
}

// SecretKeys shows the keys of secrets, and how far a change of them is.
func (c *Client) SecretKeys(ctx context.Context) (api.SecretKeys, error) {
	return get[api.SecretKeys](ctx, c, path("secret-keys"), nil)
}

// RotateSecrets has all secrets sealed under fresh data keys.
func (c *Client) RotateSecrets(ctx context.Context) (api.SecretKeys, error) {
	return call[api.SecretKeys](ctx, c, request{method: http.MethodPost, path: path("secret-keys", "rotate")})
}

// ChangeSecretKey has all secrets go over to another key-encryption key; to "" the newest, or one that is made.
func (c *Client) ChangeSecretKey(ctx context.Context, to string) (api.SecretKeys, error) {
	req, err := withJSON(request{method: http.MethodPost, path: path("secret-keys", "change")}, api.KeyChange{To: to})
	if err != nil {
		return api.SecretKeys{}, err
	}
	return call[api.SecretKeys](ctx, c, req)
}
