package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/secret"
)

// routeSecretKeys adds what is about the keys of all secrets.
func (s *Server) routeSecretKeys(a huma.API) {
	const tag = "Secrets"
	register(s, a, op(mayAll(access.View, access.Secrets), http.MethodGet, "/secret-keys", "show-secret-keys", tag, "Show the keys of secrets, and how far a change of them is"), s.showSecretKeys)
	register(s, a, op(mayAll(access.Edit, access.Secrets), http.MethodPost, "/secret-keys/rotate", "rotate-secrets", tag, "Seal all secrets under fresh data keys, in the background"), s.rotateSecrets)
	register(s, a, op(mayAll(access.Edit, access.Secrets), http.MethodPost, "/secret-keys/change", "change-secret-key", tag, "Have all secrets go over to a new key-encryption key, in the background"), s.changeSecretKey)
}

func (s *Server) showSecretKeys(ctx context.Context, _ *struct{}) (*reply[wire.SecretKeys], error) {
	st, err := s.config.Secrets.Keys(ctx)
	if err != nil {
		return nil, err
	}
	out := wire.SecretKeys{Keys: []wire.SecretKey{}, Waiting: []wire.KeyHolder{}, Left: st.Left(), Broken: st.Broken}
	for _, k := range st.Keys {
		out.Keys = append(out.Keys, wire.SecretKey{ID: k.ID, State: k.State, Wraps: k.Wraps, CreatedAt: k.CreatedAt.UTC(), ChangedAt: k.ChangedAt.UTC(), Here: k.Here})
	}
	for _, h := range st.Lacking {
		out.Waiting = append(out.Waiting, wire.KeyHolder{ID: h.ID, Host: h.Host})
	}
	return answer(out), nil
}

func (s *Server) rotateSecrets(ctx context.Context, _ *struct{}) (*reply[wire.SecretKeys], error) {
	if err := s.config.Secrets.RotateAll(ctx); err != nil {
		return nil, err
	}
	return s.showSecretKeys(ctx, nil)
}

type keyChangeInput struct {
	Body *wire.KeyChange `required:"false"`
}

func (s *Server) changeSecretKey(ctx context.Context, in *keyChangeInput) (*reply[wire.SecretKeys], error) {
	to := ""
	if in.Body != nil {
		to = in.Body.To
	}
	note(ctx, to, nil, nil)
	err := s.config.Secrets.Rekey(ctx, to)
	if errors.Is(err, secret.ErrNoNewKey) || to != "" && errors.Is(err, secret.ErrKeyWrong) {
		return nil, conflict(err.Error())
	}
	if err != nil {
		return nil, err
	}
	return s.showSecretKeys(ctx, nil)
}
