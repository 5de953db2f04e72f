package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	wire "github.com/attune/attune/pkg/api"
)

// Bounds of a request.
const (
	requestTimeout  = 15 * time.Second
	responseTimeout = 30 * time.Second
	maxBody         = 1 << 20
)

func (s *Server) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.RequestID, s.metrics.observe, s.recover, plainPath, s.authenticate, plainBody)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { write(w, notFound("page", r.URL.Path)) })
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		write(w, problem(http.StatusMethodNotAllowed, wire.CodeMethodNotAllowed, r.Method+" is not possible here"))
	})
	a := humachi.New(r, s.description())
	s.routeExecutions(a)
	s.routeEvents(a)
	s.routeWebhooks(a)
	s.routeStreams(a)
	s.routeLogs(a)
	s.routeQueues(a)
	s.routePacks(a)
	s.routeDefinitions(a)
	s.routeRunners(a)
	s.routeSecrets(a)
	s.routeHealth(a)
	r.Method(http.MethodGet, "/metrics", s.metrics.handler())
	routeDocs(r, a.OpenAPI())
	return r
}

// description is the OpenAPI document but for the routes.
func (s *Server) description() huma.Config {
	c := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Attune", Version: s.config.Version, Description: about},
			Components: &huma.Components{
				Schemas:         huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}},
			},
			Security: []map[string][]string{{"token": {}}},
		},
		Formats:       map[string]huma.Format{"application/json": strict, "json": strict},
		DefaultFormat: "application/json",
	}
	c.RejectUnknownQueryParameters = true
	return c
}

const about = "Event-driven automation. Lists come in pages: give next_cursor back as cursor for the next one. " +
	"Errors are problem+json (RFC 9457) with a stable code and every wrong field. Times are RFC 3339 in UTC."

// op describes a route.
func op(method, path, id, tag, summary string, errs ...int) huma.Operation {
	status := http.StatusOK
	if method == http.MethodDelete {
		status = http.StatusNoContent
	}
	return huma.Operation{
		OperationID: id, Method: method, Path: wire.Prefix + path, Summary: summary, Tags: []string{tag}, DefaultStatus: status,
		MaxBodyBytes: maxBody, Errors: append(errs, http.StatusBadRequest, http.StatusUnauthorized, http.StatusServiceUnavailable),
	}
}

func accepted(o huma.Operation) huma.Operation {
	o.DefaultStatus = http.StatusAccepted
	return o
}

// open describes a route that needs no token.
func open(o huma.Operation) huma.Operation {
	o.Security = []map[string][]string{}
	return o
}

// register adds a typed handler, bounds its time, and makes its errors ones that a client may see.
func register[I, O any](s *Server, a huma.API, o huma.Operation, handle func(context.Context, *I) (*O, error)) {
	registerWithin(s, a, o, requestTimeout, handle)
}

func registerWithin[I, O any](s *Server, a huma.API, o huma.Operation, within time.Duration, handle func(context.Context, *I) (*O, error)) {
	huma.Register(a, o, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		out, err := handle(ctx, in)
		if err != nil {
			return nil, retryLater(s.explain(ctx, err))
		}
		return out, nil
	})
}

// retryLater tells a client when to come back, where that makes sense.
func retryLater(p *wire.Problem) error {
	if p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests {
		return p
	}
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"2"}})
}

// reply is an answer with nothing but a body.
type reply[T any] struct {
	Body T
}

func answer[T any](v T) *reply[T] { return &reply[T]{Body: v} }

// nothing is the input or the output without anything in it.
type nothing struct{}
