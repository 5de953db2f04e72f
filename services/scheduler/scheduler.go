// Package scheduler admits waiting executions in the order of their requests and hands them to runners.
//
// One copy leads, the others stand by; leadership is a lease. A leader rebuilds what it knows from the streams
// (QUEUE: who was requested and has not ended, in order; EXECUTIONS: each one's state; RUNS: who was handed to
// runners), then follows them live and lets pkg/admission decide.
//
// It guarantees that the executions of one queue and priority are dispatched in the order of QUEUE, that never more
// of them hold a slot than the limits (of the queue, the pack, all) allowed when they were admitted, and that this
// holds over any crash and change of leader: the server refuses every dispatch of a leader that has been replaced.
// How far rates are used up, when a next attempt is due and what operators said is kept on the bus, never only in
// memory. An execution that its runner lost, that was dispatched into nothing or that was requested but never
// queued is found and dealt with. Nothing on the path from an end to the next start polls or waits for a timer.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lease"
)

// leaseKey names the scheduler's lease.
const leaseKey = "scheduler"

// dispatchWindow bounds the dispatches whose acknowledgement is awaited, on one server.
const dispatchWindow = 4096

// dispatchTimeout is when a dispatch without acknowledgement is looked after.
const dispatchTimeout = 5 * time.Second

// Config is what a scheduler needs.
type Config struct {
	Bus        *bus.Bus
	DB         *pgxpool.Pool // nil: limits and rates come with the requests only, and nothing is recovered from history
	ID         string        // unique to this copy; "": a random one
	LeaseTTL   time.Duration // 0: streams.LeaseTTL; must be that of the bucket LEASES
	Aging      time.Duration // after which a waiting execution moves up one priority; 0: never
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Scheduler is one copy of the service.
type Scheduler struct {
	Config
	facts    *execution.Facts
	js       jetstream.JetStream // for dispatches; its asynchronous publishes time out
	policies *policies
	metrics  *metrics
	history  historian // nil without a database
	leading  leadership
	pace     pace
}

// New makes a scheduler. It returns an error when its metrics are registered already.
func New(c Config) (*Scheduler, error) {
	if c.ID == "" {
		c.ID = uuid.NewString()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{Config: c, facts: execution.NewFacts(c.Bus.JS), policies: newPolicies(), pace: usualPace}
	if c.DB != nil {
		s.history = history.New(c.DB)
	}
	js, err := jetstream.New(c.Bus.Conn,
		jetstream.WithPublishAsyncMaxPending(dispatchWindow), jetstream.WithPublishAsyncTimeout(dispatchTimeout),
		jetstream.WithPublishAsyncErrHandler(s.leading.onUnsent))
	if err != nil {
		return nil, fmt.Errorf("open JetStream for dispatches: %w", err)
	}
	s.js = js
	if s.metrics, err = newMetrics(c.Registerer, &s.leading); err != nil {
		return nil, fmt.Errorf("register metrics of the scheduler: %w", err)
	}
	return s, nil
}

// Run leads whenever it holds the lease and stands by otherwise, until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.DB != nil {
		g.Go(func() error {
			return definitions.New(s.DB).Watch(ctx, s.Logger, func(snap *definitions.Snapshot) { s.policies.set(declaredBy(snap)) })
		})
	}
	g.Go(func() error {
		return lease.Campaign(ctx, lease.Config{JS: s.Bus.JS, Key: leaseKey, Owner: s.ID, TTL: s.LeaseTTL, Logger: s.Logger}, s.lead)
	})
	return g.Wait()
}

// lead serves one term. It returns why the term ended.
func (s *Scheduler) lead(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	t, err := s.newTerm(ctx, end)
	if err != nil {
		return err
	}
	err = t.run(ctx)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}
