package api

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5/middleware"

	wire "github.com/attune/attune/pkg/api"
)

// recover turns a panic of a handler into an answer and a log line.
func (s *Server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault == http.ErrAbortHandler { //nolint:errorlint // what a handler panics with is that value itself, not an error that wraps it
				panic(fault)
			}
			s.log.ErrorContext(r.Context(), "handler panicked", slog.String("request", middleware.GetReqID(r.Context())),
				slog.Any("panic", fault), slog.String("stack", string(debug.Stack())))
			write(w, problem(http.StatusInternalServerError, wire.CodeInternal,
				"something went wrong inside; the service's log has it under request "+middleware.GetReqID(r.Context())))
		}()
		next.ServeHTTP(w, r)
	})
}

// policy is what browsers may load for an answer: nothing. Pages add what they need.
const policy = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guarded tells browsers to trust nothing: not to guess types, show answers in frames, keep them, or tell others of them.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// plainPath refuses paths that mean one thing encoded and another decoded, or are no text. No name of ours needs encoding.
func plainPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawPath != "" || !utf8.ValidString(r.URL.Path) || strings.ContainsRune(r.URL.Path, 0) {
			write(w, notFound("page", r.URL.Path))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// plainBody refuses compressed bodies, whose size nobody knows, and bounds how long an answer may take to be
// taken. Streams set a bound of their own.
func plainBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
			write(w, problem(http.StatusUnsupportedMediaType, wire.CodeUnsupportedMedia, "a body must not be compressed by Content-Encoding"))
			return
		}
		deadline(w, responseTimeout)
		next.ServeHTTP(w, r)
	})
}

// deadline bounds the time until the client must have taken what is written.
func deadline(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) // a recorder in a test has none
}
