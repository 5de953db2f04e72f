package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/pkg/webhook"
)

func (s *Server) routeSecrets(a huma.API) {
	const tag = "Secrets"
	edit := mayOwn(access.Edit, access.Secrets)
	register(s, a, op(mayListOwn(access.View, access.Secrets), http.MethodGet, "/secrets", "list-secrets", tag, "List the names of secrets"), s.listSecrets)
	register(s, a, op(edit, http.MethodPost, "/secrets", "set-named-secret", tag, "Set a secret"), s.setNamedSecret)
	register(s, a, op(edit, http.MethodPut, "/secrets/{name}", "set-secret", tag, "Set a secret"), s.setSecret)
	register(s, a, op(edit, http.MethodDelete, "/secrets/{name}", "delete-secret", tag, "Delete a secret with all its versions", http.StatusNotFound), s.deleteSecret)
	register(s, a, op(mayOwn(access.View, access.Secrets), http.MethodGet, "/secrets/{name}/versions", "list-secret-versions", tag, "List the versions of a secret that are kept", http.StatusNotFound), s.listSecretVersions)
	register(s, a, op(edit, http.MethodPost, "/secrets/{name}/restore", "restore-secret", tag, "Give a secret the value of an earlier version", http.StatusNotFound), s.restoreSecret)
	register(s, a, op(edit, http.MethodPost, "/secrets/{name}/rotate", "rotate-secret", tag, "Seal a secret under fresh data keys", http.StatusNotFound), s.rotateSecret)
	s.routeSecretKeys(a)
}

type secretFilter struct {
	SecretScope
	Paging
}

func (s *Server) listSecrets(ctx context.Context, in *secretFilter) (*reply[wire.Page[wire.Secret]], error) {
	owner := secret.Owner("")
	if in.Pack != "" || in.User != "" {
		var err error
		if owner, err = in.owner(); err != nil {
			return nil, err
		}
	}
	infos, err := s.config.Secrets.List(ctx, owner)
	if err != nil {
		return nil, err
	}
	reach := s.reach(ctx, access.View, access.Secrets)
	all := []wire.Secret{}
	for _, n := range infos {
		if owns(ctx, n.Owner) || reach.Has(scopeOfOwner(n.Owner)) {
			all = append(all, secretOf(n))
		}
	}
	return pageOf(all, in.Paging, func(x wire.Secret) string { return x.Owner + " " + x.Name })
}

type namedSecretInput struct {
	Body wire.NamedSecret
}

func (s *Server) setNamedSecret(ctx context.Context, in *namedSecretInput) (*reply[wire.Secret], error) {
	return s.keepSecret(ctx, SecretScope{Pack: in.Body.Pack, User: in.Body.User}, in.Body.Name, wire.SecretValue{Value: in.Body.Value, TTL: in.Body.TTL})
}

type secretInput struct {
	ByName
	SecretScope
	Body wire.SecretValue
}

func (s *Server) setSecret(ctx context.Context, in *secretInput) (*reply[wire.Secret], error) {
	return s.keepSecret(ctx, in.SecretScope, in.Name, in.Body)
}

func (s *Server) keepSecret(ctx context.Context, scope SecretScope, name string, v wire.SecretValue) (*reply[wire.Secret], error) {
	ref, err := s.editSecret(ctx, scope, name, nil)
	if err != nil {
		return nil, err
	}
	ttl, err := lifeOf(v.TTL)
	if err != nil {
		return nil, err
	}
	return s.told(ctx, ref)(s.config.Secrets.Put(ctx, ref.Owner, name, []byte(v.Value), ttl))
}

// told answers with what became of a secret, and has the audit say it.
func (s *Server) told(ctx context.Context, ref secret.Ref) func(secret.Info, error) (*reply[wire.Secret], error) {
	return func(i secret.Info, err error) (*reply[wire.Secret], error) {
		switch {
		case errors.Is(err, secret.ErrBadName):
			return nil, invalid("name", "want a letter, then letters, digits, _ and -, at most 128 in all")
		case errors.Is(err, secret.ErrBadValue):
			return nil, invalid("value", fmt.Sprintf("want 1 to %d bytes of text", secret.MaxValue))
		case errors.Is(err, secret.ErrBadTTL):
			return nil, invalid("ttl", "want a time of up to ten years, such as 24h")
		case errors.Is(err, secret.ErrNotFound):
			return nil, notFound("secret", ref.Name)
		case err != nil:
			return nil, err
		}
		is := secretOf(i)
		note(ctx, noted(ref), nil, is)
		return answer(is), nil
	}
}

func secretOf(i secret.Info) wire.Secret {
	return wire.Secret{
		Name: i.Name, Owner: string(i.Owner), Version: i.Version, CreatedAt: i.CreatedAt.UTC(), UpdatedAt: i.UpdatedAt.UTC(),
		ExpiresAt: inUTC(i.ExpiresAt), Expired: i.Expired,
	}
}

type ownedSecret struct {
	ByName
	SecretScope
}

func (s *Server) deleteSecret(ctx context.Context, in *ownedSecret) (*nothing, error) {
	ref, err := s.editSecret(ctx, in.SecretScope, in.Name, notFound("secret", in.Name))
	if err != nil {
		return nil, err
	}
	err = s.config.Secrets.Delete(ctx, ref.Owner, ref.Name)
	if errors.Is(err, secret.ErrNotFound) {
		return nil, notFound("secret", in.Name)
	}
	return &nothing{}, err
}

// webhookSecrets gives what the scheme of a pack's webhook verifies with. What is not set is left out, and without any
// no scheme takes a delivery.
func (s *Server) webhookSecrets(ctx context.Context, packName string, w pack.Webhook) (found [][]byte, err error) {
	if !webhook.NeedsSecret(w.Scheme) {
		return nil, nil
	}
	for _, name := range w.SecretNames() {
		values, err := s.config.Secrets.Values(ctx, []secret.Owner{secret.OfPack(packName), secret.Global}, []string{name})
		if errors.Is(err, secret.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("secret of webhook: %w", err)
		}
		found = append(found, values[name])
	}
	return found, nil
}

// serveSecrets answers runners that ask for the secrets of what they run.
func (s *Server) serveSecrets(ctx context.Context) error {
	declared := secret.NewPacks(s.config.Bus.JS, s.store, s.config.TempDir)
	return secret.Serve(ctx, secret.ServeConfig{Bus: s.config.Bus, Values: s.config.Secrets, Declarations: declared, Logger: s.log})
}
