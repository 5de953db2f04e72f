package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/webhook"
)

// public are the ways in without a token: health, signing in, and webhooks, which verify each delivery themselves.
var public = []struct{ method, path string }{
	{http.MethodGet, "/healthz"},
	{http.MethodGet, "/readyz"},
	{http.MethodPost, wire.Prefix + "/session"},
	{http.MethodPost, wire.Prefix + "/session/exchange"},
	{http.MethodGet, oidcStart},
	{http.MethodGet, oidcCallback},
	{http.MethodPost, wire.Prefix + "/webhooks/"},
}

// readable are pages for people and scrapers: there the token may also be the password of basic authentication,
// which browsers know how to ask for. Nowhere else, because browsers also send it when another site asks them to.
var readable = []string{"/docs", "/openapi.json", "/metrics"}

func isPublic(r *http.Request) bool {
	for _, p := range public {
		exact := r.URL.Path == p.path
		below := strings.HasSuffix(p.path, "/") && strings.HasPrefix(r.URL.Path, p.path)
		if r.Method == p.method && (exact || below) {
			return true
		}
	}
	return r.Method == http.MethodHead && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz")
}

func isReadable(r *http.Request) bool {
	return isRead(r) && slices.Contains(readable, r.URL.Path)
}

// isRead tells requests that change nothing.
func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// root is the administrator of the installation.
var root = &account.Caller{Principal: access.Root()}

type callerKey struct{}

// withCaller gives a context in which it is known who calls, and by which credential.
func withCaller(ctx context.Context, c *account.Caller) context.Context {
	return context.WithValue(access.With(ctx, c.Principal), callerKey{}, c)
}

// credentialOf gives the credential of whoever calls, or nil.
func credentialOf(ctx context.Context) *account.Caller {
	c, _ := ctx.Value(callerKey{}).(*account.Caller)
	return c
}

// authenticate lets nobody in who has not proved who it is, but for what is public.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPublic(r) {
			next.ServeHTTP(w, r)
			return
		}
		c, err := s.identify(r)
		if err == nil {
			err = s.limits.admit(c)
		}
		if err != nil {
			s.turnAway(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(withCaller(r.Context(), c)))
	})
}

// errNoCredential is returned for a request that does not even try to prove who makes it.
var errNoCredential = errors.New("no credential")

// turnAway answers a request whose maker is not known.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	var p *wire.Problem
	switch {
	case errors.Is(err, account.ErrUnread):
		p = databaseDown
	case errors.As(err, &p):
	default:
		p = problem(http.StatusUnauthorized, wire.CodeUnauthorized,
			"a token is needed, and it must be right: send it as Authorization: Bearer TOKEN")
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="attune"`)
		if isReadable(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="attune: any name, the token as password"`)
		}
		if wait := s.limits.failed(r, err); wait > 0 {
			p = tooMany(w, wait, "too many attempts with a wrong credential came from this address")
		}
		s.auditStranger(r)
	}
	write(w, p)
}

// identify finds out who makes a request.
func (s *Server) identify(r *http.Request) (*account.Caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return s.identifySession(r)
	}
	if len(values) != 1 {
		return nil, account.ErrUnknown
	}
	kind, token, _ := strings.Cut(values[0], " ")
	if _, password, ok := r.BasicAuth(); ok && isReadable(r) {
		token = password
	} else if !strings.EqualFold(kind, "Bearer") {
		return nil, account.ErrUnknown
	}
	if webhook.Equal(token, s.config.Token) {
		return root, nil
	}
	if session, ok := strings.CutPrefix(token, account.SessionPrefix); ok {
		return s.keeper.Session(r.Context(), session)
	}
	return s.keeper.Token(r.Context(), token)
}

// address is where a request comes from.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
