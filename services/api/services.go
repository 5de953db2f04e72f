package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/checkpoint"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// lateAfter is how long a message may wait for a service before that counts as late.
const lateAfter = 10 * time.Second

func (s *Server) routeServices(a huma.API) {
	register(s, a, op(mayAll(access.View, access.Metrics), http.MethodGet, "/services", "list-services", "Health",
		"Say how the services behind the API stand, and what waits for them"), s.listServices)
}

func (s *Server) listServices(ctx context.Context, in *Paging) (*reply[wire.Page[wire.Service]], error) {
	all, err := onBus(ctx, s, s.services)
	if err != nil {
		return nil, err
	}
	return pageOf(all, *in, func(v wire.Service) string { return v.Name })
}

// services asks the bus how each stands, at once.
func (s *Server) services(ctx context.Context) ([]wire.Service, error) {
	all := []wire.Service{{Name: "recorder"}, {Name: "rules"}, {Name: "scheduler"}, {Name: "sensors"}} // as their leases are named
	backlogs := map[string]func(context.Context) ([]wire.Backlog, error){"recorder": s.unrecorded, "rules": s.undecided}
	g, ctx := errgroup.WithContext(ctx)
	for i := range all {
		v := &all[i]
		v.Backlogs = []wire.Backlog{}
		g.Go(func() (err error) {
			if look := backlogs[v.Name]; look != nil {
				if v.Backlogs, err = look(ctx); err != nil {
					return fmt.Errorf("backlog of %s: %w", v.Name, err)
				}
			}
			v.State, err = s.stateOfService(ctx, *v)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return all, nil
}

// stateOfService judges by the lease, which a copy that died has lost within its TTL.
func (s *Server) stateOfService(ctx context.Context, v wire.Service) (string, error) {
	var holder streams.Lease
	held, err := entry(ctx, s, streams.BucketLeases, v.Name, &holder)
	switch {
	case err != nil:
		return "", err
	case !held:
		return wire.ServiceAbsent, nil
	}
	if late(v.Backlogs, time.Now()) {
		return wire.ServiceLate, nil
	}
	if v.Name == "scheduler" {
		if _, err := s.stats(ctx, streams.ScopeAll, ""); errors.Is(err, errScheduler) {
			return wire.ServiceStarting, nil
		}
	}
	return wire.ServiceActive, nil
}

func late(all []wire.Backlog, now time.Time) bool {
	return slices.ContainsFunc(all, func(b wire.Backlog) bool { return b.Oldest != nil && now.Sub(*b.Oldest) > lateAfter })
}

// undecided is what the rules have to decide: the events behind the one whose decision was recorded last.
func (s *Server) undecided(ctx context.Context) ([]wire.Backlog, error) {
	stream, err := s.config.Bus.JS.Stream(ctx, streams.Events)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", streams.Events, err)
	}
	last, err := checkpoint.Look(ctx, s.config.Bus.Conn)
	if err != nil {
		return nil, fmt.Errorf("read last decision: %w", err)
	}
	state := stream.CachedInfo().State
	next := max(last.Event+1, state.FirstSeq)
	if state.Msgs == 0 || next > state.LastSeq {
		return []wire.Backlog{{Stream: streams.Events}}, nil
	}
	b := wire.Backlog{Stream: streams.Events, Messages: state.LastSeq - next + 1}
	b.Oldest, err = publishedAt(ctx, stream, next)
	return []wire.Backlog{b}, err
}

// unrecorded is what history lacks.
func (s *Server) unrecorded(ctx context.Context) ([]wire.Backlog, error) {
	all := []wire.Backlog{{Stream: streams.Decisions}, {Stream: streams.Events}, {Stream: streams.Executions}}
	for i := range all {
		b := &all[i]
		stream, err := s.config.Bus.JS.Stream(ctx, b.Stream)
		if err != nil {
			return nil, fmt.Errorf("open stream %s: %w", b.Stream, err)
		}
		c, err := stream.Consumer(ctx, streams.ConsumerRecorder)
		if err != nil {
			return nil, fmt.Errorf("consumer %s of %s: %w", streams.ConsumerRecorder, b.Stream, err)
		}
		info := c.CachedInfo()
		if b.Messages = info.NumPending + uint64(max(info.NumAckPending, 0)); b.Messages == 0 {
			continue
		}
		if b.Oldest, err = publishedAt(ctx, stream, info.AckFloor.Stream+1); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// publishedAt gives when the first message from a sequence on was published; nil when there is none any more.
func publishedAt(ctx context.Context, stream jetstream.Stream, sequence uint64) (*time.Time, error) {
	m, err := stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("message %d of %s: %w", sequence, stream.CachedInfo().Config.Name, err)
	}
	return &m.Time, nil
}

// serviceMetrics shows how the services stand whenever metrics are read. While the bus does not tell, there are none.
type serviceMetrics struct {
	server                *Server
	active, messages, age *prometheus.Desc
}

func newServiceMetrics(s *Server) *serviceMetrics {
	byStream := []string{"service", "stream"}
	return &serviceMetrics{
		server:   s,
		active:   prometheus.NewDesc("attune_service_active", "Whether a copy of the service works, late or not.", []string{"service"}, nil),
		messages: prometheus.NewDesc("attune_service_backlog_messages", "Messages of a stream that the service has to work off.", byStream, nil),
		age:      prometheus.NewDesc("attune_service_backlog_seconds", "For how long the first of them has waited; 0 when none waits.", byStream, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *serviceMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.active
	out <- m.messages
	out <- m.age
}

// Collect implements prometheus.Collector.
func (m *serviceMetrics) Collect(out chan<- prometheus.Metric) {
	if m.server.config.Bus.Conn.Status() != nats.CONNECTED {
		return // whoever reads metrics need not wait for it
	}
	all, err := onBus(m.server.leaving, m.server, m.server.services)
	if err != nil {
		m.server.log.Debug("how services stand is not known", slog.Any(logging.Error, err))
		return
	}
	for _, v := range all {
		active := 0.0
		if v.State == wire.ServiceActive || v.State == wire.ServiceLate {
			active = 1
		}
		out <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, active, v.Name)
		for _, b := range v.Backlogs {
			var age time.Duration
			if b.Oldest != nil {
				age = max(0, time.Since(*b.Oldest))
			}
			out <- prometheus.MustNewConstMetric(m.messages, prometheus.GaugeValue, float64(b.Messages), v.Name, b.Stream)
			out <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, age.Seconds(), v.Name, b.Stream)
		}
	}
}
