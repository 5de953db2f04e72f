package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logging"
)

// OIDC is a service that proves users by OpenID Connect.
type OIDC struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	PublicURL    string // where browsers find this API: https://attune.example
	UserClaim    string // names the user
	GroupsClaim  string // names the groups that it is in
	Roles        []GroupRole
}

// GroupRole gives the members of a group a role: in one pack, or everywhere.
type GroupRole struct {
	Group string
	Role  access.Role
	Pack  string // "" for everywhere
}

// oidcTimeout bounds each request to the issuer.
const oidcTimeout = 10 * time.Second

// provider is the issuer as it described itself, which is asked for when it is needed first: the API starts without it.
type provider struct {
	config OIDC
	http   *http.Client

	mu    sync.Mutex // guards the fields below
	ready *oidc.Provider
}

func newProvider(c *OIDC) *provider {
	if c == nil {
		return nil
	}
	return &provider{config: *c, http: &http.Client{Timeout: oidcTimeout}}
}

func (p *provider) get(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready != nil {
		return p.ready, nil
	}
	// Its keys are read anew later, long after this request has ended.
	ready, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.http), p.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIssuer, err)
	}
	p.ready = ready
	return ready, nil
}

// errIssuer is returned while the issuer does not answer, or not as it should.
var errIssuer = errors.New("the OpenID Connect issuer does not answer as it should")

func (p *provider) oauth(of *oidc.Provider) oauth2.Config {
	return oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: of.Endpoint(),
		RedirectURL: strings.TrimSuffix(p.config.PublicURL, "/") + oidcCallback, Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"},
	}
}

// begin gives where to send a browser, which comes back with a code.
func (p *provider) begin(ctx context.Context, a attempt) (string, error) {
	of, err := p.get(ctx)
	if err != nil {
		return "", err
	}
	c := p.oauth(of)
	return c.AuthCodeURL(a.state, oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier)), nil
}

// finish gives the user that a code proves.
func (p *provider) finish(ctx context.Context, a attempt, code string) (account.External, error) {
	var none account.External
	of, err := p.get(ctx)
	if err != nil {
		return none, err
	}
	c := p.oauth(of)
	token, err := c.Exchange(oidc.ClientContext(ctx, p.http), code, oauth2.VerifierOption(a.verifier))
	if err != nil {
		return none, fmt.Errorf("%w: exchange the code: %w", account.ErrRefused, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return none, fmt.Errorf("%w: there is no id_token", account.ErrRefused)
	}
	id, err := of.Verifier(&oidc.Config{ClientID: p.config.ClientID}).Verify(ctx, raw) // issuer, audience, expiry, signature
	if err != nil {
		return none, fmt.Errorf("%w: id_token: %w", account.ErrRefused, err)
	}
	if a.nonce == "" || id.Nonce != a.nonce {
		return none, fmt.Errorf("%w: id_token: it is of another sign-in", account.ErrRefused)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return none, fmt.Errorf("%w: id_token: %w", account.ErrRefused, err)
	}
	return p.user(id, claims)
}

func (p *provider) user(id *oidc.IDToken, claims map[string]any) (account.External, error) {
	name, _ := claims[p.config.UserClaim].(string)
	var groups []string
	if list, ok := claims[p.config.GroupsClaim].([]any); ok {
		for _, g := range list {
			if text, ok := g.(string); ok {
				groups = append(groups, text)
			}
		}
	}
	rights, err := rightsOfGroups(p.config.Roles, groups)
	return account.External{Issuer: id.Issuer, Subject: id.Subject, Name: strings.ToLower(name), Rights: rights}, err
}

// rightsOfGroups gives the highest role that any of the groups has everywhere, and the grants of those in packs.
func rightsOfGroups(roles []GroupRole, groups []string) (account.Rights, error) {
	var r account.Rights
	for _, m := range roles {
		if !slices.Contains(groups, m.Group) {
			continue
		}
		if m.Pack == "" {
			if slices.Index(access.Roles(), m.Role) > slices.Index(access.Roles(), r.Role) {
				r.Role = m.Role
			}
			continue
		}
		grants, err := m.Role.Grants(m.Pack)
		if err != nil {
			return r, err
		}
		for _, g := range grants {
			if !slices.Contains(r.Grants, g) {
				r.Grants = append(r.Grants, g)
			}
		}
	}
	if r.Role == "" && len(r.Grants) == 0 {
		return r, errNoGroup
	}
	return r, nil
}

// errNoGroup is returned for somebody who is in no group that has a role here.
var errNoGroup = errors.New("the user is in no group that has a role here")

// explainOIDC says why somebody could not sign in. What the issuer said is for the log.
func (s *Server) explainOIDC(ctx context.Context, err error) *wire.Problem {
	s.log.WarnContext(ctx, "sign-in by OpenID Connect failed", slog.Any(logging.Error, err))
	switch {
	case errors.Is(err, errIssuer):
		return problem(http.StatusServiceUnavailable, wire.CodeIssuerDown, "the service that proves who you are does not answer; try again later")
	case errors.Is(err, errNoGroup):
		return problem(http.StatusForbidden, wire.CodeForbidden, "you are in no group that has a role here")
	case errors.Is(err, account.ErrExists):
		return conflict("your name belongs to somebody else here; ask an administrator")
	case errors.Is(err, account.ErrName):
		return problem(http.StatusForbidden, wire.CodeForbidden, "what you are called there can be no name of a user here")
	case errors.Is(err, account.ErrRefused):
		return problem(http.StatusUnauthorized, wire.CodeUnauthorized, "the sign-in was not completed; begin it anew")
	}
	return s.explain(ctx, err)
}
