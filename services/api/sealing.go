package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/invocation"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/secret"
)

// sealing is the values that are to be sealed for an execution before it is requested, as JSON, by their paths.
type sealing map[string]string

// split takes the values of secret parameters out: the request that is made of the rest has markers in their places.
func (s *Server) split(ctx context.Context, a *invocation.Action, params map[string]any) (execution.Request, sealing, error) {
	marked, values, err := a.Split(params)
	if err != nil {
		return execution.Request{}, nil, refuseParameters(a, err)
	}
	out := make(sealing, len(values))
	for ref, value := range values {
		if len(value) > secret.MaxValue {
			return execution.Request{}, nil, tooLarge(ref, len(value))
		}
		out[ref.Name()] = value
	}
	r, err := check(ctx, a, marked)
	return r, out, err
}

func tooLarge(ref marker.Ref, size int) error {
	field := "parameters." + strings.ReplaceAll(ref.Name(), "/", ".")
	detail := fmt.Sprintf("%s is secret and takes %d bytes, at most %d", field, size, secret.MaxValue)
	return problem(http.StatusRequestEntityTooLarge, wire.CodeTooLarge, detail, wire.FieldError{Field: field, Message: detail})
}

// referring is a document that refers to secrets, as a caller brings it or wants it to be used again.
type referring struct {
	doc   any
	home  string // the pack whose secrets come before global ones
	field string // of the request
	code  string // of a refusal
	kinds []marker.Kind
}

// mayRefer refuses what a caller refers to and may not: other kinds of secrets than the document may have, those that
// the caller has no right to, and those that do not exist.
func (s *Server) mayRefer(ctx context.Context, r referring) error {
	places, err := marker.Find(r.doc)
	if malformed, ok := errors.AsType[*marker.Error](err); ok {
		return r.refuse(malformed.Path, malformed.Message)
	}
	for _, p := range places {
		for _, ref := range p.Refs() {
			if err := s.mayUse(ctx, r, p.Path, ref); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) mayUse(ctx context.Context, r referring, at []string, ref marker.Ref) error {
	owners := []secret.Owner{secret.OfPack(r.home), secret.Global}
	switch user, isUser := access.From(ctx).User(); {
	case !slices.Contains(r.kinds, ref.Kind()):
		return r.refuse(at, fmt.Sprintf("refers to %s; it can only refer to secrets by name", ref))
	case ref.Kind() == marker.Sealed:
		return nil
	case ref.Kind() == marker.OfUser && !isUser:
		return r.refuse(at, "refers to a secret of a user, and only users have such")
	case ref.Kind() == marker.OfUser:
		owners = []secret.Owner{secret.OfUser(user)}
	}
	owner, err := s.config.Secrets.Owning(ctx, owners, ref.Name())
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	if ref.Kind() == marker.Named {
		if err := s.admitUseOf(ctx, owner); err != nil {
			return err
		}
	}
	if err != nil {
		return r.refuse(at, fmt.Sprintf("there is no secret %s", ref))
	}
	return nil
}

// admitUseOf refuses who may not use the secrets of an owner that is a pack or nobody.
func (s *Server) admitUseOf(ctx context.Context, owner secret.Owner) error {
	use, in := access.Right{Verb: access.Use, Kind: access.Secrets}, access.Global
	if name, ok := owner.Pack(); ok {
		in = access.InPack(name)
	}
	return s.admit(ctx, use, in, forbidden(use, in))
}

func (r referring) refuse(at []string, message string) error {
	field := strings.Join(append([]string{r.field}, at...), ".")
	return problem(http.StatusBadRequest, r.code, field+": "+message, wire.FieldError{Field: field, Message: message})
}

// seal keeps the values of an execution before its fact is published. Whoever dies in between leaves values without
// an execution, which are removed after some time.
func (s *Server) seal(ctx context.Context, id string, values sealing) error {
	if len(values) == 0 {
		return nil
	}
	return sealed(s.config.Secrets.Seal(ctx, id, values))
}

// sealedBefore compares the values of a request that was made before. Those of an execution that ended some time ago
// are gone, and taken for the same.
func (s *Server) sealedBefore(ctx context.Context, id string, values sealing) error {
	if len(values) == 0 {
		return nil
	}
	_, err := s.config.Secrets.IsSealed(ctx, id, values)
	return sealed(err)
}

func sealed(err error) error {
	if errors.Is(err, secret.ErrDiffers) {
		return execution.ErrConflict
	}
	return err
}

// again gives the values that were sealed for an execution, for another one with the same parameters.
func (s *Server) again(ctx context.Context, id string, params map[string]any, values sealing) error {
	places, err := marker.Find(params)
	if err != nil {
		return err
	}
	var names []string
	for _, ref := range marker.RefsOf(places) {
		if ref.Kind() == marker.Sealed {
			names = append(names, ref.Name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	found, err := s.config.Secrets.Values(ctx, []secret.Owner{secret.OfExecution(id)}, names)
	if errors.Is(err, secret.ErrNotFound) {
		return problem(http.StatusConflict, wire.CodeSecretsGone, "the secret parameters of execution "+id+" are no longer kept ("+
			strings.Join(slices.Sorted(slices.Values(names)), ", ")+"); run its action with them again")
	}
	for name, value := range found {
		values[name] = string(value)
	}
	return err
}
