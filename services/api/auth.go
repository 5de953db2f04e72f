package api

import (
	"net/http"
	"slices"
	"strings"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/webhook"
)

// admin is who the administrator's token stands for.
const admin = "admin"

// public are the ways in without a token: health, and webhooks, which verify each delivery themselves.
var public = []struct{ method, path string }{
	{http.MethodGet, "/healthz"},
	{http.MethodGet, "/readyz"},
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
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return slices.Contains(readable, r.URL.Path)
}

// authenticate lets nobody without the token in, but for what is public.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPublic(r) || s.holdsToken(r) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="attune"`)
		if isReadable(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="attune: any name, the token as password"`)
		}
		write(w, problem(http.StatusUnauthorized, wire.CodeUnauthorized,
			"a token is needed, and it must be right: send it as Authorization: Bearer TOKEN"))
	})
}

func (s *Server) holdsToken(r *http.Request) bool {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return false
	}
	if _, password, ok := r.BasicAuth(); ok {
		return isReadable(r) && webhook.Equal(password, s.config.Token)
	}
	kind, token, _ := strings.Cut(values[0], " ")
	return strings.EqualFold(kind, "Bearer") && webhook.Equal(token, s.config.Token)
}
