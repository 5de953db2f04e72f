package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/attune/attune/pkg/access"
	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/api"
)

// idp is an OpenID Connect server of the test.
type idp struct {
	*mockoidc.MockOIDC
	forge func(jwt.MapClaims) // changes what the id_token says; nil: it is as the server makes it
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	m, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{MockOIDC: m}
	if err := m.AddMiddleware(p.forging); err != nil {
		t.Fatal(err)
	}
	listener := listen(t)
	if err := m.Start(listener, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown() })
	return p
}

// forging answers requests of tokens with one that is signed by the right key and says something else.
func (p *idp) forging(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.forge == nil || !strings.HasSuffix(r.URL.Path, "/token") {
			next.ServeHTTP(w, r)
			return
		}
		session, err := p.SessionStore.GetSessionByID(r.FormValue("code"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		claims := jwt.MapClaims{
			"iss": p.Issuer(), "aud": p.ClientID, "sub": session.User.ID(), "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
			"nonce": session.OIDCNonce, "preferred_username": "ann", "groups": []string{"ops"},
		}
		p.forge(claims)
		token, err := p.Keypair.SignJWT(claims)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "bearer", "id_token": token})
	})
}

func (p *idp) user(subject, name string, groups ...string) {
	p.QueueUser(&mockoidc.MockUser{Subject: subject, PreferredUsername: name, Email: name + "@example.org", Groups: groups})
}

// serveOIDC starts the service with the server as its issuer. Browsers find it where it listens.
func serveOIDC(t *testing.T) (*fixture, *idp) {
	t.Helper()
	p := newIDP(t)
	f := newFixture(t, func(c *api.Config) {
		c.OIDC = &api.OIDC{
			Issuer: p.Issuer(), ClientID: p.ClientID, ClientSecret: p.ClientSecret, PublicURL: "http://" + c.Listener.Addr().String(),
			UserClaim: "preferred_username", GroupsClaim: "groups",
			Roles: []api.GroupRole{
				{Group: "ops", Role: access.Operator}, {Group: "all", Role: access.Viewer}, {Group: "demo-editors", Role: access.Editor, Pack: "demo"},
			},
		}
	})
	f.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return f, p
}

// sentBack is a browser that was at the issuer and has come back, up to the request that it makes then.
type sentBack struct {
	attempt *http.Cookie
	path    string // of the callback, with its query
}

func (f *fixture) atIssuer(query string) sentBack {
	f.t.Helper()
	begun := f.send(http.MethodGet, "/api/v1/session/oidc/start"+query, nil)
	if begun.status != http.StatusFound {
		f.t.Fatalf("start answered %d: %s", begun.status, begun.body)
	}
	cookies := (&http.Response{Header: begun.header}).Cookies()
	if c := cookies[0]; len(cookies) != 1 || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		f.t.Errorf("cookie of the attempt: %+v", c)
	}
	to, err := url.Parse(begun.header.Get("Location"))
	if err != nil || to.Query().Get("code_challenge_method") != "S256" || to.Query().Get("nonce") == "" || to.Query().Get("state") == "" {
		f.t.Fatalf("sent to %v, %v", to, err)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, to.String(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := f.http.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		f.t.Fatalf("the issuer answered %d: %v", resp.StatusCode, err)
	}
	return sentBack{attempt: cookies[0], path: back.RequestURI()}
}

func (f *fixture) comeBack(s sentBack) answer {
	f.t.Helper()
	if s.attempt == nil {
		return f.send(http.MethodGet, s.path, nil)
	}
	return f.send(http.MethodGet, s.path, nil, "Cookie", s.attempt.Name+"="+s.attempt.Value)
}

// sessionIn gives the session that an answer opened, or nil.
func sessionIn(a answer) *http.Cookie {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == "__Host-attune" {
			return c
		}
	}
	return nil
}

func (f *fixture) sessionOf(c *http.Cookie) wire.Session {
	f.t.Helper()
	return want[wire.Session](f.send(http.MethodGet, "/api/v1/session", nil, "Cookie", c.Name+"="+c.Value), http.StatusOK)
}

func TestAnotherServiceProvesAUserWhoseGroupsHaveRoles(t *testing.T) {
	t.Parallel()
	f, p := serveOIDC(t)
	p.user("s-1", "Ann", "all", "ops", "unheard-of")
	a := f.comeBack(f.atIssuer(""))
	cookie := sessionIn(a)
	if a.status != http.StatusOK || cookie == nil || cookie.SameSite != http.SameSiteStrictMode {
		t.Fatalf("came back: %d %s", a.status, a.body)
	}
	if s := f.sessionOf(cookie); s.Principal != "user:ann" || !slices.Contains(s.Grants, "run actions") || slices.Contains(s.Grants, "edit packs") {
		t.Errorf("session %+v", s)
	}
	p.user("s-1", "renamed", "all", "demo-editors") // the subject is who it is, whatever it is called
	cookie = sessionIn(f.comeBack(f.atIssuer("")))
	if s := f.sessionOf(cookie); s.Principal != "user:ann" || slices.Contains(s.Grants, "run actions") || !slices.Contains(s.Grants, "edit packs in pack demo") {
		t.Errorf("with other groups: %+v", s)
	}
	if rows := f.auditRows("action=sign-in-oidc&actor=user:ann"); len(rows) != 2 || rows[0].Outcome != "done" {
		t.Errorf("audit: %+v", rows)
	}
}

func TestWhoMayNotSignInIsToldWhy(t *testing.T) {
	t.Parallel()
	f, p := serveOIDC(t)
	want[wire.User](f.post("/api/v1/users", `{"name":"local","password":"correct horse battery","role":"admin"}`), http.StatusCreated)
	p.user("s-1", "ann")
	f.comeBack(f.atIssuer("")).refused(http.StatusForbidden, wire.CodeForbidden)
	p.user("s-2", "local", "ops") // somebody there has the name of somebody here
	f.comeBack(f.atIssuer("")).refused(http.StatusConflict, wire.CodeConflict)
	p.user("s-3", "../x", "ops")
	f.comeBack(f.atIssuer("")).refused(http.StatusForbidden, wire.CodeForbidden)
	p.user("s-4", "eve", "ops")
	if sessionIn(f.comeBack(f.atIssuer(""))) == nil {
		t.Fatal("eve could not sign in")
	}
	want[wire.User](f.post("/api/v1/users/eve/disable", nil), http.StatusOK)
	p.user("s-4", "eve", "ops")
	f.comeBack(f.atIssuer("")).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	plain := newFixture(t)
	plain.send(http.MethodGet, "/api/v1/session/oidc/start", nil).refused(http.StatusNotFound, wire.CodeNotFound)
	_ = p.Shutdown()
}

func TestASignInThatIsNotThisBrowsersIsRefused(t *testing.T) {
	t.Parallel()
	f, p := serveOIDC(t)
	begin := func() sentBack {
		p.user("s-1", "ann", "ops")
		return f.atIssuer("")
	}
	query := func(s sentBack, change func(url.Values)) sentBack {
		path, raw, _ := strings.Cut(s.path, "?")
		q, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		change(q)
		return sentBack{attempt: s.attempt, path: path + "?" + q.Encode()}
	}
	one, two := begin(), begin()
	stateOf := func(s sentBack) string { return strings.Split(s.attempt.Value, ".")[0] }
	for name, s := range map[string]sentBack{
		"without the cookie":       {path: begin().path},
		"with another's cookie":    {path: one.path, attempt: two.attempt},
		"without a state":          query(begin(), func(q url.Values) { q.Del("state") }),
		"without a code":           query(begin(), func(q url.Values) { q.Del("code") }),
		"with an error":            query(begin(), func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }),
		"with a code of its own":   query(begin(), func(q url.Values) { q.Set("code", "guessed") }),
		"with a stolen code":       query(one, func(q url.Values) { q.Set("state", stateOf(two)) }).with(two.attempt),
		"with a cookie of nothing": {path: begin().path, attempt: &http.Cookie{Name: "__Host-attune-signin", Value: "...."}},
	} {
		a := f.comeBack(s)
		a.refused(http.StatusUnauthorized, wire.CodeUnauthorized)
		if sessionIn(a) != nil {
			t.Errorf("%s: a session was opened", name)
		}
	}
	again := begin()
	if sessionIn(f.comeBack(again)) == nil {
		t.Error("the right one was refused")
	}
	f.comeBack(again).refused(http.StatusUnauthorized, wire.CodeUnauthorized) // the issuer takes a code once
}

func (s sentBack) with(attempt *http.Cookie) sentBack {
	s.attempt = attempt
	return s
}

func TestTokensOfTheIssuerAreCheckedWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forge func(jwt.MapClaims)
		good  bool
	}{
		"as it should be":      {func(jwt.MapClaims) {}, true},
		"for another client":   {func(c jwt.MapClaims) { c["aud"] = "other" }, false},
		"of another issuer":    {func(c jwt.MapClaims) { c["iss"] = "https://evil.example" }, false},
		"of another sign-in":   {func(c jwt.MapClaims) { c["nonce"] = "other" }, false},
		"without a nonce":      {func(c jwt.MapClaims) { delete(c, "nonce") }, false},
		"that has expired":     {func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, false},
		"that never expires":   {func(c jwt.MapClaims) { delete(c, "exp") }, false},
		"without an audience":  {func(c jwt.MapClaims) { delete(c, "aud") }, false},
		"whose groups are odd": {func(c jwt.MapClaims) { c["groups"] = map[string]any{"ops": true} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := serveOIDC(t)
			p.forge = c.forge
			p.user("s-1", "ann", "ops")
			if a := f.comeBack(f.atIssuer("")); (sessionIn(a) != nil) != c.good || a.status >= 500 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

func TestACommandLineFetchesTheSessionOfItsUser(t *testing.T) {
	t.Parallel()
	f, p := serveOIDC(t)
	code := func(verifier string) string {
		p.user("s-1", "ann", "ops")
		a := f.comeBack(f.atIssuer("?port=4711&challenge=" + account.Challenge(verifier)))
		to, err := url.Parse(a.header.Get("Location"))
		if err != nil || a.status != http.StatusFound || to.Host != "127.0.0.1:4711" || sessionIn(a) != nil {
			t.Fatalf("sent to %v, %v: %d %s", to, err, a.status, a.body)
		}
		return to.Query().Get("code")
	}
	exchange := func(code, verifier string) answer {
		return f.send(http.MethodPost, "/api/v1/session/exchange", wire.CodeExchange{Code: code, Verifier: verifier})
	}
	first := code("the verifier")
	opened := want[wire.SessionOpened](exchange(first, "the verifier"), http.StatusOK)
	bearer := []string{"Authorization", "Bearer " + opened.Text}
	if s := want[wire.Session](f.send(http.MethodGet, "/api/v1/session", nil, bearer...), http.StatusOK); s.Principal != "user:ann" || opened.Principal != s.Principal {
		t.Errorf("session %+v", s)
	}
	want[wire.ExecutionAccepted](f.send(http.MethodPost, "/api/v1/executions", `{"action":"demo.slow"}`, bearer...), http.StatusAccepted)
	exchange(first, "the verifier").refused(http.StatusUnauthorized, wire.CodeUnauthorized) // once
	stolen := code("the verifier")
	exchange(stolen, "guessed").refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	exchange(stolen, "the verifier").refused(http.StatusUnauthorized, wire.CodeUnauthorized) // used up by the guess
	for _, query := range []string{"?port=0&challenge=" + account.Challenge("x"), "?port=80@evil.example&challenge=" + account.Challenge("x"), "?port=80", "?port=80&challenge=x", "?challenge=x"} {
		f.send(http.MethodGet, "/api/v1/session/oidc/start"+query, nil).refused(http.StatusBadRequest, wire.CodeInvalidRequest)
	}
}

func TestWithoutTheIssuerOnlySigningInByItFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) {
		c.OIDC = &api.OIDC{Issuer: "http://127.0.0.1:1", ClientID: "x", PublicURL: "http://127.0.0.1"}
	})
	f.send(http.MethodGet, "/api/v1/session/oidc/start", nil).refused(http.StatusServiceUnavailable, wire.CodeIssuerDown)
	want[wire.Page[wire.Action]](f.get("/api/v1/actions"), http.StatusOK)
}
