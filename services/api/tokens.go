package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
)

func (s *Server) routeTokens(a huma.API) {
	const tag = "Tokens"
	register(s, a, op(mayAll(access.View, access.Tokens), http.MethodGet, "/tokens", "list-tokens", tag, "List the tokens that were not revoked"), s.listTokens)
	create := op(mayAll(access.Administer, access.Tokens), http.MethodPost, "/tokens", "create-token", tag, "Make a token; its text is shown this once", http.StatusConflict)
	create.DefaultStatus = http.StatusCreated
	register(s, a, create, s.createToken)
	revoke := op(mayAll(access.Administer, access.Tokens), http.MethodDelete, "/tokens/{name}", "revoke-token", tag, "End a token", http.StatusNotFound)
	revoke.Description = "Within seconds no service takes it any more, and what it follows ends."
	register(s, a, revoke, s.revokeToken)
}

func (s *Server) listTokens(ctx context.Context, in *Paging) (*reply[wire.Page[wire.Token]], error) {
	found, err := s.accounts.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]wire.Token, len(found))
	for i, t := range found {
		all[i] = tokenOf(t)
	}
	return pageOf(all, *in, func(t wire.Token) string { return t.Name })
}

func tokenOf(t account.Token) wire.Token {
	return wire.Token{
		Name: t.Name, Role: string(t.Role), Packs: t.Packs, Grants: grantTexts(t.Grants), CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy,
		ExpiresAt: t.ExpiresAt, Expired: t.ExpiresAt != nil && !time.Now().Before(*t.ExpiresAt), LastUsedAt: t.LastUsedAt,
	}
}

type tokenInput struct {
	Body wire.NewToken
}

func (s *Server) createToken(ctx context.Context, in *tokenInput) (*reply[wire.TokenCreated], error) {
	note(ctx, in.Body.Name, nil, nil)
	expires, err := expiry(in.Body.Expires)
	if err != nil {
		return nil, err
	}
	rights, err := readRights(in.Body.Role, in.Body.Packs, in.Body.Grants)
	if err != nil {
		return nil, err
	}
	t, text, err := s.accounts.CreateToken(ctx, account.NewToken{Name: in.Body.Name, Rights: rights, ExpiresAt: expires, By: caller(ctx)})
	if err != nil {
		return nil, explainAccount(err, "token", in.Body.Name)
	}
	note(ctx, t.Name, nil, tokenOf(t))
	return answer(wire.TokenCreated{Token: tokenOf(t), Text: text}), s.keeper.Refresh(ctx)
}

func (s *Server) revokeToken(ctx context.Context, in *ByName) (*nothing, error) {
	t, err := s.accounts.RevokeToken(ctx, in.Name, caller(ctx))
	if err != nil {
		return nil, explainAccount(err, "token", in.Name)
	}
	note(ctx, t.Name, tokenOf(t), nil)
	return &nothing{}, s.keeper.Refresh(ctx)
}

// readRights reads what somebody is to be given.
func readRights(role string, packs, grants []string) (account.Rights, error) {
	r := account.Rights{Role: access.Role(role), Packs: packs}
	for i, text := range grants {
		g, err := access.ParseGrant(text)
		if err != nil {
			return r, invalid("grants["+strconv.Itoa(i)+"]", err.Error())
		}
		r.Grants = append(r.Grants, g)
	}
	return r, nil
}

// explainAccount says what is wrong with a token or a user, or in its way.
func explainAccount(err error, noun, name string) error {
	switch {
	case errors.Is(err, account.ErrExists):
		return conflict("there is a " + noun + " " + clip(name) + " already")
	case errors.Is(err, account.ErrNotFound):
		return notFound(noun, name)
	case errors.Is(err, account.ErrName):
		return invalid("name", "want a small letter, then small letters, digits, _ and -; of users also . and @")
	case errors.Is(err, account.ErrPassword):
		return invalid("password", account.ErrPassword.Error())
	case errors.Is(err, account.ErrNoRights):
		return invalid("role", "give a role, grants or both: without any it may do nothing")
	case errors.Is(err, account.ErrExpired):
		return invalid("expires", "want a time in the future")
	case errors.Is(err, access.ErrRole), errors.Is(err, access.ErrGrant):
		return invalid("role", err.Error())
	}
	return err
}

const (
	maxLife     = 10 * 365 * 24 * time.Hour
	defaultLife = "90d"
)

// expiry reads when something is to end: a time, after how long, or never.
func expiry(text string) (*time.Time, error) {
	wrong := invalid("expires", "want a time such as 2027-01-31T08:00:00Z, after how long, such as 12h or 30d, at most 3650d, or never")
	switch text = textOr(text, defaultLife); {
	case text == "never":
		return nil, nil //nolint:nilnil // it is what never means
	case strings.HasSuffix(text, "d"):
		days, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
		if err != nil || days < 1 || days > 3650 {
			return nil, wrong
		}
		at := time.Now().UTC().AddDate(0, 0, days).Truncate(time.Second)
		return &at, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if life, errLife := time.ParseDuration(text); err != nil && errLife == nil && life > 0 {
		at, err = time.Now().UTC().Add(life), nil
	}
	if err != nil || time.Until(at) <= 0 || time.Until(at) > maxLife+24*time.Hour {
		return nil, wrong
	}
	at = at.UTC()
	return &at, nil
}
