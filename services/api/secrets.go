package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/pkg/webhook"
)

func (s *Server) routeSecrets(a huma.API) {
	const tag = "Secrets"
	register(s, a, op(http.MethodGet, "/secrets", "list-secrets", tag, "List the names of secrets"), s.listSecrets)
	register(s, a, op(http.MethodPost, "/secrets", "set-named-secret", tag, "Set a secret"), s.setNamedSecret)
	register(s, a, op(http.MethodPut, "/secrets/{name}", "set-secret", tag, "Set a secret"), s.setSecret)
	register(s, a, op(http.MethodDelete, "/secrets/{name}", "delete-secret", tag, "Delete a secret", http.StatusNotFound), s.deleteSecret)
}

func (s *Server) listSecrets(ctx context.Context, in *Paging) (*reply[wire.Page[wire.Secret]], error) {
	infos, err := s.config.Secrets.List(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]wire.Secret, len(infos))
	for i, n := range infos {
		all[i] = secretOf(n)
	}
	return pageOf(all, *in, func(x wire.Secret) string { return x.Name })
}

type namedSecretInput struct {
	Body wire.NamedSecret
}

func (s *Server) setNamedSecret(ctx context.Context, in *namedSecretInput) (*reply[wire.Secret], error) {
	return s.keepSecret(ctx, in.Body.Name, in.Body.Value)
}

type secretInput struct {
	ByName
	Body wire.SecretValue
}

func (s *Server) setSecret(ctx context.Context, in *secretInput) (*reply[wire.Secret], error) {
	return s.keepSecret(ctx, in.Name, in.Body.Value)
}

func (s *Server) keepSecret(ctx context.Context, name, value string) (*reply[wire.Secret], error) {
	err := s.config.Secrets.Set(ctx, name, []byte(value))
	switch {
	case errors.Is(err, secret.ErrBadName):
		return nil, invalid("name", "want a letter, then letters, digits, _ and -, at most 63 in all")
	case errors.Is(err, secret.ErrBadValue):
		return nil, invalid("value", fmt.Sprintf("want 1 to %d bytes of text", secret.MaxValue))
	case err != nil:
		return nil, err
	}
	return s.showSecret(ctx, name)
}

func (s *Server) showSecret(ctx context.Context, name string) (*reply[wire.Secret], error) {
	all, err := s.config.Secrets.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.Name == name {
			return answer(secretOf(i)), nil
		}
	}
	return nil, notFound("secret", name)
}

func secretOf(i secret.Info) wire.Secret {
	return wire.Secret{Name: i.Name, CreatedAt: i.CreatedAt.UTC(), UpdatedAt: i.UpdatedAt.UTC()}
}

func (s *Server) deleteSecret(ctx context.Context, in *ByName) (*nothing, error) {
	err := s.config.Secrets.Delete(ctx, in.Name)
	if errors.Is(err, secret.ErrNotFound) {
		return nil, notFound("secret", in.Name)
	}
	return &nothing{}, err
}

// webhookSecret gives what a webhook's scheme verifies with; nothing when it is not set, which no scheme takes.
func (s *Server) webhookSecret(ctx context.Context, w pack.Webhook) ([]byte, error) {
	if !webhook.NeedsSecret(w.Scheme) || w.Secret == "" {
		return nil, nil
	}
	value, err := s.config.Secrets.Get(ctx, w.Secret)
	if errors.Is(err, secret.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secret of webhook: %w", err)
	}
	return value, nil
}

// serveSecrets answers runners that ask for the secrets of what they run.
func (s *Server) serveSecrets(ctx context.Context) error {
	declared, err := secret.NewPacks(ctx, s.config.Bus.JS, s.config.TempDir)
	if err != nil {
		return err
	}
	return secret.Serve(ctx, secret.ServeConfig{Bus: s.config.Bus, Values: s.config.Secrets, Declarations: declared, Logger: s.log})
}
