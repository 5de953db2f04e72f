package api

import (
	"context"
	"time"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/secret"
)

// SecretScope says whose secrets a request is about; with neither those of the installation.
type SecretScope struct {
	Pack string `query:"pack" doc:"Name of a pack: secrets that only its programs may use"`
	User string `query:"user" doc:"Name of a user: secrets that only executions which this user asked for may use"`
}

func (sc SecretScope) owner() (secret.Owner, error) {
	owner := secret.Global
	switch {
	case sc.Pack != "" && sc.User != "":
		return "", invalid("pack", "a secret is a pack's or a user's: name one of the two")
	case sc.Pack != "":
		owner = secret.OfPack(sc.Pack)
	case sc.User != "":
		owner = secret.OfUser(sc.User)
	}
	if owner.Check() != nil {
		field := "user"
		if sc.Pack != "" {
			field = "pack"
		}
		return "", invalid(field, "this cannot be the name of a "+field)
	}
	return owner, nil
}

// owns tells whether the caller is the user whose secrets they are.
func owns(ctx context.Context, o secret.Owner) bool {
	user, ok := o.User()
	me, is := access.From(ctx).User()
	return ok && is && me == user
}

// scopeOfOwner says where a right on an owner's secrets must be. Those of users are the installation's, but for
// themselves.
func scopeOfOwner(o secret.Owner) access.Scope {
	if pack, ok := o.Pack(); ok {
		return access.InPack(pack)
	}
	return access.Global
}

// editSecret gives the secret that is to be changed, to who may.
func (s *Server) editSecret(ctx context.Context, scope SecretScope, name string, absent *wire.Problem) (secret.Ref, error) {
	return s.secretFor(ctx, access.Edit, scope, name, absent)
}

// secretFor gives the secret that a request names, to who has the right, or whose it is.
func (s *Server) secretFor(ctx context.Context, v access.Verb, scope SecretScope, name string, absent *wire.Problem) (secret.Ref, error) {
	owner, bad := scope.owner()
	ref := secret.Ref{Owner: owner, Name: name}
	note(ctx, noted(ref), nil, nil)
	if bad == nil && owns(ctx, owner) {
		markAsked(ctx)
		return ref, nil
	}
	right, in := access.Right{Verb: v, Kind: access.Secrets}, scopeOfOwner(owner)
	if absent == nil {
		absent = forbidden(right, in)
	}
	if err := s.admit(ctx, right, in, absent); err != nil {
		return ref, err
	}
	return ref, bad
}

// noted is how the audit names a secret.
func noted(r secret.Ref) string {
	if r.Owner == secret.Global || r.Owner == "" {
		return r.Name
	}
	return string(r.Owner) + "/" + r.Name
}

// lifeOf reads for how long a value is to be good.
func lifeOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	ttl, err := time.ParseDuration(text)
	if err != nil || ttl <= 0 {
		return 0, invalid("ttl", "want a time, such as 24h")
	}
	return ttl, nil
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}
