package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/attune/attune/pkg/access"
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
	r.Use(middleware.RequestID, s.metrics.observe, s.recover, guarded, plainPath, s.authenticate, plainBody, middleware.GetHead)
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
	s.routeExport(a)
	s.routeRetention(a)
	s.routeQueues(a)
	s.routePacks(a)
	s.routeDefinitions(a)
	s.routeSensors(a)
	s.routeRunners(a)
	s.routeSecrets(a)
	s.routeTokens(a)
	s.routeUsers(a)
	s.routeSession(a)
	s.routeOIDC(r, a)
	s.routeAudit(a)
	s.routeHealth(a)
	s.routeServices(a)
	s.page(r, "/metrics", mayAll(access.View, access.Metrics), s.metrics.handler())
	s.routeDocs(r, a.OpenAPI())
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

// op describes a route, and what it demands of whoever calls it.
func op(d demand, method, path, id, tag, summary string, errs ...int) huma.Operation {
	status := http.StatusOK
	if method == http.MethodDelete {
		status = http.StatusNoContent
	}
	return huma.Operation{
		OperationID: id, Method: method, Path: wire.Prefix + path, Summary: summary, Tags: []string{tag}, DefaultStatus: status,
		MaxBodyBytes: maxBody, Errors: append(errs, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable),
		Metadata: map[string]any{demandKey: d},
	}
}

func accepted(o huma.Operation) huma.Operation {
	o.DefaultStatus = http.StatusAccepted
	return o
}

// register adds a typed handler, bounds its time, and makes its errors ones that a client may see.
func register[I, O any](s *Server, a huma.API, o huma.Operation, handle func(context.Context, *I) (*O, error)) {
	registerWithin(s, a, o, requestTimeout, handle)
}

func registerWithin[I, O any](s *Server, a huma.API, o huma.Operation, within time.Duration, handle func(context.Context, *I) (*O, error)) {
	o = s.enforce(o)
	d := o.Metadata[demandKey].(demand)
	huma.Register(a, o, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		out, err := answerTo(ctx, s, o, d, func(ctx context.Context) (*O, error) { return handle(ctx, in) })
		if err != nil {
			p := s.explain(ctx, err)
			s.conclude(ctx, d, p)
			return nil, retryLater(p)
		}
		s.conclude(ctx, d, nil)
		return out, nil
	})
}

// answerTo has a request handled, once what must be known before is written down, and gives no answer that nobody
// asked whether it may be given.
func answerTo[O any](ctx context.Context, s *Server, o huma.Operation, d demand, handle func(context.Context) (*O, error)) (*O, error) {
	if err := s.begin(ctx, d); err != nil {
		return nil, err
	}
	question := &asked{yes: d.where != byHandler && d.where != listed}
	out, err := handle(context.WithValue(ctx, askedKey{}, question))
	if err == nil && !question.yes {
		return nil, forgotten(o)
	}
	return out, err
}

// retryLater tells a client when to come back, where that makes sense.
func retryLater(p *wire.Problem) error {
	if p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests {
		return p
	}
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(max(p.RetryAfter, 2))}})
}

// reply is an answer with nothing but a body.
type reply[T any] struct {
	Body T
}

func answer[T any](v T) *reply[T] { return &reply[T]{Body: v} }

// nothing is the input or the output without anything in it.
type nothing struct{}
