package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/audit"
)

// cookieName is that of the session's cookie. Browsers take one of this name only from the site itself, over TLS or
// from this very machine, and for all of its paths.
const cookieName = "__Host-attune"

// sessionLasts is how long a session is good.
const sessionLasts = 12 * time.Hour

func (s *Server) routeSession(a huma.API) {
	const tag = "Session"
	in := op(openToAll(), http.MethodPost, "/session", "sign-in", tag, "Sign in with name and password, for a browser", http.StatusTooManyRequests)
	in.Description = "Sets the cookie " + cookieName + ", which is good for 12 hours. Requests with it that change something must come from the site's own pages."
	register(s, a, in, s.signIn)
	register(s, a, op(anyCaller(), http.MethodGet, "/session", "show-session", tag, "Say who calls, and what it may do"), s.showSession)
	out := op(anyCaller(), http.MethodDelete, "/session", "sign-out", tag, "End the session of the cookie")
	register(s, a, out, s.signOut)
}

// crossOrigin tells requests that a browser makes because another site asked it to.
var crossOrigin = http.NewCrossOriginProtection()

// sameSite refuses a request that does not come from one of our own pages. Browsers always say where it comes from.
func sameSite(r *http.Request) error {
	said := r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != ""
	if err := crossOrigin.Check(r); err != nil || !said {
		return problem(http.StatusForbidden, wire.CodeCrossOrigin,
			"a request with a session's cookie that changes something must come from a page of this very site, and its headers must say so")
	}
	return nil
}

// identifySession finds out who makes a request that has no Authorization, by its cookie.
func (s *Server) identifySession(r *http.Request) (*account.Caller, error) {
	cookies := r.CookiesNamed(cookieName)
	if len(cookies) == 0 {
		return nil, errNoCredential
	}
	if len(cookies) != 1 {
		return nil, account.ErrUnknown
	}
	c, err := s.keeper.Session(r.Context(), cookies[0].Value)
	if err != nil || isRead(r) {
		return c, err
	}
	return c, sameSite(r)
}

type signInInput struct {
	Body    wire.SignIn
	request *http.Request
}

// Resolve keeps the request, which says where it comes from.
func (in *signInInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humachi.Unwrap(ctx)
	return nil
}

type sessionOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      wire.Session
}

func (s *Server) signIn(ctx context.Context, in *signInInput) (*sessionOutput, error) {
	if err := crossOrigin.Check(in.request); err != nil {
		return nil, problem(http.StatusForbidden, wire.CodeCrossOrigin, "signing in must be asked for by a page of this very site")
	}
	from := network(address(in.request))
	for _, name := range []string{"address " + from, "user " + clip(in.Body.Name)} {
		if wait := s.limits.signIns.take(name); wait > 0 {
			return nil, limited(wait, "too many attempts to sign in; try again later")
		}
	}
	err := s.accounts.SignIn(ctx, in.Body.Name, in.Body.Password)
	if errors.Is(err, account.ErrRefused) {
		s.auditSignIn(ctx, in, audit.Refused)
		return nil, problem(http.StatusUnauthorized, wire.CodeUnauthorized, "name or password is wrong")
	}
	if err != nil {
		return nil, err
	}
	return s.openSession(ctx, in)
}

func (s *Server) openSession(ctx context.Context, in *signInInput) (*sessionOutput, error) {
	text, expires, err := s.accounts.OpenSession(ctx, in.Body.Name, sessionLasts)
	if err != nil {
		return nil, err
	}
	if err := s.keeper.Refresh(ctx); err != nil {
		return nil, err
	}
	c, err := s.keeper.Session(ctx, text)
	if err != nil {
		return nil, problem(http.StatusUnauthorized, wire.CodeUnauthorized, "name or password is wrong") // disabled just now
	}
	s.auditSignIn(ctx, in, audit.Done)
	return &sessionOutput{SetCookie: sessionCookie(text, expires), Body: sessionOf(c)}, nil
}

func sessionCookie(value string, expires time.Time) http.Cookie {
	return http.Cookie{
		Name: cookieName, Value: value, Path: "/", Expires: expires, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

func sessionOf(c *account.Caller) wire.Session {
	out := wire.Session{Principal: c.Name, Grants: grantTexts(c.Grants)}
	if !c.Expires.IsZero() {
		out.ExpiresAt = &c.Expires
	}
	return out
}

func grantTexts(all []access.Grant) []string {
	out := make([]string, len(all))
	for i, g := range all {
		out[i] = g.String()
	}
	slices.Sort(out)
	return out
}

func (s *Server) showSession(ctx context.Context, _ *nothing) (*reply[wire.Session], error) {
	return answer(sessionOf(credentialOf(ctx))), nil
}

type signOutOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

func (s *Server) signOut(ctx context.Context, _ *nothing) (*signOutOutput, error) {
	c := credentialOf(ctx)
	if c.Session == "" {
		return nil, invalid("cookie", "there is no session to end: the request has none")
	}
	if err := s.accounts.EndSession(ctx, c.Session); err != nil {
		return nil, err
	}
	gone := sessionCookie("", time.Unix(0, 0))
	gone.MaxAge = -1
	return &signOutOutput{SetCookie: gone}, s.keeper.Refresh(ctx)
}
