package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

// checkTimeout is how long each thing that the service needs may take to answer.
const checkTimeout = 2 * time.Second

func (s *Server) routeHealth(a huma.API) {
	live := op(openToAll(), http.MethodGet, "", "show-health", "Health", "Say that the process lives")
	live.Path, live.Errors = "/healthz", nil
	register(s, a, live, s.healthz)
	ready := op(openToAll(), http.MethodGet, "", "show-readiness", "Health", "Say whether all that the service needs answers; 503 when not")
	ready.Path, ready.Errors = "/readyz", nil
	register(s, a, ready, s.readyz)
}

type healthOutput struct {
	Status int
	Body   wire.Health
}

func (s *Server) healthz(context.Context, *nothing) (*healthOutput, error) {
	return &healthOutput{Status: http.StatusOK, Body: wire.Health{Status: "ok", Version: s.config.Version}}, nil
}

func (s *Server) readyz(ctx context.Context, _ *nothing) (*healthOutput, error) {
	out := &healthOutput{Status: http.StatusOK, Body: wire.Health{Status: "ok", Version: s.config.Version, Checks: s.checks(ctx)}}
	for _, c := range out.Body.Checks {
		if !c.OK {
			out.Status, out.Body.Status = http.StatusServiceUnavailable, "unavailable"
		}
	}
	return out, nil
}

// checks asks all that the service needs, at once.
func (s *Server) checks(ctx context.Context) []wire.Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	needs := []struct {
		name  string
		check func(context.Context) error
		wrong string // what a stranger may know
	}{
		{"nats", s.checkNATS, "does not answer"},
		{"jetstream", s.canary.check, "does not store messages"},
		{"postgresql", s.config.DB.Ping, "does not answer"},
		{"definitions", s.checkDefinitions, "have not been read yet"},
		{"service", s.checkStaying, "is stopping"},
	}
	out := make([]wire.Check, len(needs))
	var wg sync.WaitGroup
	for i, n := range needs {
		out[i] = wire.Check{Name: n.name, OK: true}
		wg.Go(func() {
			if err := n.check(ctx); err != nil {
				out[i].OK, out[i].Error = false, n.wrong
			}
		})
	}
	wg.Wait()
	return out
}

func (s *Server) checkNATS(ctx context.Context) error {
	if s.config.Bus.Conn.Status() != nats.CONNECTED {
		return nats.ErrDisconnected
	}
	return s.config.Bus.Conn.FlushWithContext(ctx)
}

func (s *Server) checkDefinitions(context.Context) error {
	_, err := s.defs.view()
	return err
}

func (s *Server) checkStaying(context.Context) error { return s.leaving.Err() }

// canary finds out whether JetStream really stores: with a full disk the server says that it is well and answers
// no publish.
type canary struct {
	js jetstream.JetStream

	mu   sync.Mutex // guards the fields below, and lets one check run at a time
	at   time.Time
	last error
}

// canaryAge is how long one check is good for, however many ask.
const canaryAge = time.Second

// canaryKey is an entry that means nothing and expires with its bucket's TTL.
const canaryKey = "canary"

func (c *canary) check(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) < canaryAge {
		return c.last
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout) // the answer is for others, too
	defer cancel()
	c.last = c.sing(ctx)
	c.at = time.Now()
	return c.last
}

func (c *canary) sing(ctx context.Context) error {
	kv, err := c.js.KeyValue(ctx, streams.BucketLeases)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketLeases, err)
	}
	if _, err := kv.Put(ctx, canaryKey, []byte(time.Now().UTC().Format(time.RFC3339Nano))); err != nil {
		return fmt.Errorf("store a message: %w", err)
	}
	return nil
}
