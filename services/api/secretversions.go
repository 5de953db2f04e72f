package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/secret"
)

type secretVersionsInput struct {
	ByName
	SecretScope
	Paging
}

func (s *Server) listSecretVersions(ctx context.Context, in *secretVersionsInput) (*reply[wire.Page[wire.SecretVersion]], error) {
	ref, err := s.secretFor(ctx, access.View, in.SecretScope, in.Name, notFound("secret", in.Name))
	if err != nil {
		return nil, err
	}
	versions, err := s.config.Secrets.VersionsOf(ctx, ref.Owner, ref.Name)
	if errors.Is(err, secret.ErrNotFound) {
		return nil, notFound("secret", in.Name)
	}
	if err != nil {
		return nil, err
	}
	all := make([]wire.SecretVersion, len(versions))
	for i, v := range versions {
		all[i] = wire.SecretVersion{
			Version: v.Version, Current: v.Current, CreatedAt: v.CreatedAt.UTC(), KeyedAt: v.KeyedAt.UTC(), KeyID: v.KeyID,
			ExpiresAt: inUTC(v.ExpiresAt), Expired: v.Expired,
		}
	}
	return pageOf(all, in.Paging, func(v wire.SecretVersion) string { return fmt.Sprintf("%020d", v.Version) })
}

type restoreInput struct {
	ByName
	SecretScope
	Body wire.SecretRestore
}

func (s *Server) restoreSecret(ctx context.Context, in *restoreInput) (*reply[wire.Secret], error) {
	ref, err := s.editSecret(ctx, in.SecretScope, in.Name, notFound("secret", in.Name))
	if err != nil {
		return nil, err
	}
	ttl, err := lifeOf(in.Body.TTL)
	if err != nil {
		return nil, err
	}
	return s.told(ctx, ref)(s.config.Secrets.Restore(ctx, ref.Owner, ref.Name, in.Body.Version, ttl))
}

func (s *Server) rotateSecret(ctx context.Context, in *ownedSecret) (*reply[wire.Secret], error) {
	ref, err := s.editSecret(ctx, in.SecretScope, in.Name, notFound("secret", in.Name))
	if err != nil {
		return nil, err
	}
	if err := s.config.Secrets.Rotate(ctx, ref.Owner, ref.Name); err != nil {
		return s.told(ctx, ref)(secret.Info{}, err)
	}
	return s.told(ctx, ref)(s.config.Secrets.Info(ctx, ref.Owner, ref.Name))
}
