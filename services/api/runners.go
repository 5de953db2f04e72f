package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

func (s *Server) routeRunners(a huma.API) {
	register(s, a, op(mayAll(access.View, access.Runners), http.MethodGet, "/runners", "list-runners", "Runners", "List the runners that live"), s.listRunners)
	register(s, a, op(mayAll(access.View, access.Runners), http.MethodGet, "/runners/{name}", "show-runner", "Runners", "Show a runner", http.StatusNotFound), s.showRunner)
}

// ByName names something in the path.
type ByName struct {
	Name string `path:"name"`
}

func (s *Server) listRunners(ctx context.Context, in *Paging) (*reply[wire.Page[wire.Runner]], error) {
	all, err := onBus(ctx, s, s.runners)
	if err != nil {
		return nil, err
	}
	return pageOf(all, *in, func(r wire.Runner) string { return r.Name })
}

func (s *Server) showRunner(ctx context.Context, in *ByName) (*reply[wire.Runner], error) {
	all, err := onBus(ctx, s, s.runners)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Name == in.Name {
			return answer(r), nil
		}
	}
	return nil, notFound("runner", in.Name)
}

// runners reads all heartbeats that have not expired.
func (s *Server) runners(ctx context.Context) ([]wire.Runner, error) {
	kv, err := s.config.Bus.JS.KeyValue(ctx, streams.BucketRunners)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", streams.BucketRunners, err)
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list runners: %w", err)
	}
	defer func() { _ = w.Stop() }() // it was for one reading
	var all []wire.Runner
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("list runners: %w", context.Cause(ctx))
		case e, open := <-w.Updates():
			if !open {
				return nil, fmt.Errorf("list runners: %w", errReadEnded)
			}
			if e == nil { // all that was there has been sent
				return all, nil
			}
			r, err := readRunner(e.Value())
			if err != nil {
				s.log.WarnContext(ctx, "heartbeat cannot be read", slog.String(logging.Runner, e.Key()), slog.Any(logging.Error, err))
				continue
			}
			all = append(all, r)
		}
	}
}

var errVersion = errors.New("of a version that is not known")

func readRunner(data []byte) (wire.Runner, error) {
	var r wire.Runner
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("heartbeat: %w", err)
	}
	if r.Version > streams.Version {
		return r, fmt.Errorf("heartbeat: %w", errVersion)
	}
	if r.Runtimes == nil {
		r.Runtimes = []streams.Runtime{}
	}
	return r, nil
}
