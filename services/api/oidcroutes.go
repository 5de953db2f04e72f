package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"golang.org/x/oauth2"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/audit"
)

const (
	oidcStart    = wire.Prefix + "/session/oidc/start"
	oidcCallback = wire.Prefix + "/session/oidc/callback"

	// attemptCookie keeps a sign-in that has begun in the browser that began it. The issuer sends that browser back from
	// another site, so the cookie cannot be strict.
	attemptCookie = "__Host-attune-signin"
	attemptLasts  = 10 * time.Minute
)

// routeOIDC adds the ways of a browser, which is sent elsewhere and back, and that of a command line.
func (s *Server) routeOIDC(r chi.Router, a huma.API) {
	s.page(r, oidcStart, openToAll(), http.HandlerFunc(s.startOIDC))
	s.page(r, oidcCallback, openToAll(), http.HandlerFunc(s.finishOIDC))
	o := op(openToAll(), http.MethodPost, "/session/exchange", "exchange-code", "Session", "Open the session that a browser has signed in for", http.StatusTooManyRequests)
	o.Description = "For attune login: the code came to its own machine, and it knows what the code was made for. A code is good once, and for a minute."
	register(s, a, o, s.exchangeCode)
}

// attempt is a sign-in that has begun.
type attempt struct {
	state, nonce, verifier string
	port, challenge        string // of a command line that waits on this machine; "" for none
}

func (a attempt) String() string {
	return strings.Join([]string{a.state, a.nonce, a.verifier, a.port, a.challenge}, ".")
}

func parseAttempt(text string) (attempt, bool) {
	p := strings.Split(text, ".")
	if len(p) != 5 || p[0] == "" || p[1] == "" || p[2] == "" {
		return attempt{}, false
	}
	return attempt{state: p[0], nonce: p[1], verifier: p[2], port: p[3], challenge: p[4]}, true
}

// challengeForm is S256 of PKCE.
var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

func newAttempt(q url.Values) (attempt, error) {
	a := attempt{
		state: oauth2.GenerateVerifier(), nonce: oauth2.GenerateVerifier(), verifier: oauth2.GenerateVerifier(), // all are 256 random bits
		port: q.Get("port"), challenge: q.Get("challenge"),
	}
	if a.port == "" && a.challenge == "" {
		return a, nil
	}
	if n, err := strconv.Atoi(a.port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != a.port {
		return a, invalid("port", "want the port on which the command line waits")
	}
	if !challengeForm.MatchString(a.challenge) {
		return a, invalid("challenge", "want SHA-256 in base64url")
	}
	return a, nil
}

func (s *Server) startOIDC(w http.ResponseWriter, r *http.Request) {
	if s.oidc == nil {
		write(w, notFound("page", r.URL.Path))
		return
	}
	a, err := newAttempt(r.URL.Query())
	if err != nil {
		write(w, s.explain(r.Context(), err))
		return
	}
	to, err := s.oidc.begin(r.Context(), a)
	if err != nil {
		write(w, s.explainOIDC(r.Context(), err))
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: attemptCookie, Value: a.String(), Path: "/", MaxAge: int(attemptLasts.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, to, http.StatusFound)
}

func (s *Server) finishOIDC(w http.ResponseWriter, r *http.Request) {
	if s.oidc == nil {
		write(w, notFound("page", r.URL.Path))
		return
	}
	http.SetCookie(w, &http.Cookie{Name: attemptCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	a, name, err := s.returned(r)
	if err != nil {
		s.auditExternal(r, name, audit.Refused)
		write(w, s.explainOIDC(r.Context(), err))
		return
	}
	if a.port != "" {
		err = s.handCode(w, r, a, name)
	} else {
		err = s.welcome(w, r, name)
	}
	if err != nil {
		write(w, s.explainOIDC(r.Context(), err))
		return
	}
	s.auditExternal(r, name, audit.Done)
}

// returned gives the sign-in that a browser comes back from, and whom it proves.
func (s *Server) returned(r *http.Request) (attempt, string, error) {
	cookies, q := r.CookiesNamed(attemptCookie), r.URL.Query()
	if len(cookies) != 1 {
		return attempt{}, "", fmt.Errorf("%w: this browser did not begin it", account.ErrRefused)
	}
	a, ok := parseAttempt(cookies[0].Value)
	if !ok || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(a.state)) != 1 {
		return a, "", fmt.Errorf("%w: it is not the one that this browser began", account.ErrRefused)
	}
	if q.Get("code") == "" {
		return a, "", fmt.Errorf("%w: the issuer says %.100q", account.ErrRefused, q.Get("error"))
	}
	u, err := s.oidc.finish(r.Context(), a, q.Get("code"))
	if err != nil {
		return a, u.Name, err
	}
	name, err := s.accounts.SignInExternal(r.Context(), u)
	if err != nil {
		return a, u.Name, err
	}
	return a, name, s.keeper.Refresh(r.Context())
}

// welcome opens a session in the browser. The page leads on by itself: a redirect would still be one from another site,
// with which browsers do not send a strict cookie.
func (s *Server) welcome(w http.ResponseWriter, r *http.Request, name string) error {
	text, expires, err := s.accounts.OpenSession(r.Context(), name, sessionLasts)
	if err != nil {
		return err
	}
	if err := s.keeper.Refresh(r.Context()); err != nil {
		return err
	}
	cookie := sessionCookie(text, expires)
	http.SetCookie(w, &cookie)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(welcomePage)) // the client has gone; there is nobody to tell
	return nil
}

const welcomePage = `<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/docs"><title>Attune</title>` +
	`<p>You are signed in. <a href="/docs">Go on</a></p></html>`

// handCode sends the browser to the command line that waits on its machine.
func (s *Server) handCode(w http.ResponseWriter, r *http.Request, a attempt, name string) error {
	code, err := s.accounts.OpenCode(r.Context(), name, a.challenge)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "http://127.0.0.1:"+a.port+"/?code="+url.QueryEscape(code), http.StatusFound)
	return nil
}

type exchangeInput struct {
	Body    wire.CodeExchange
	request *http.Request
}

// Resolve keeps the request, which says where it comes from.
func (in *exchangeInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humachi.Unwrap(ctx)
	return nil
}

func (s *Server) exchangeCode(ctx context.Context, in *exchangeInput) (*reply[wire.SessionOpened], error) {
	if wait := s.limits.signIns.take("address " + network(address(in.request))); wait > 0 {
		return nil, limited(wait, "too many attempts to sign in; try again later")
	}
	name, err := s.accounts.RedeemCode(ctx, in.Body.Code, in.Body.Verifier)
	if errors.Is(err, account.ErrRefused) {
		return nil, problem(http.StatusUnauthorized, wire.CodeUnauthorized, "the code is not good, or not any more; begin the sign-in anew")
	}
	if err != nil {
		return nil, err
	}
	text, expires, err := s.accounts.OpenSession(ctx, name, sessionLasts)
	if err != nil {
		return nil, err
	}
	return answer(wire.SessionOpened{Text: account.SessionPrefix + text, Principal: access.NameOfUser(name), ExpiresAt: expires}), s.keeper.Refresh(ctx)
}

func (s *Server) auditExternal(r *http.Request, name string, outcome audit.Outcome) {
	if outcome == audit.Refused && s.limits.refused.take("address "+network(address(r))) > 0 {
		return
	}
	actor := ""
	if name != "" && outcome == audit.Done {
		actor = access.NameOfUser(name)
	}
	s.enter(r.Context(), audit.Entry{
		Actor: actor, Address: address(r), Action: "sign-in-oidc", Kind: "session", Object: name, Outcome: outcome, Request: middleware.GetReqID(r.Context()),
	})
}
