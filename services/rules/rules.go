// Package rules decides what happens about events.
//
// It reads EVENTS in order, asks every enabled rule on the event's trigger that may match, requests an execution for
// each that does, and records what was decided in DECISIONS: of rules that did not match only that they were asked (see
// pkg/ruleset). One copy is active, elected by a lease; another continues after the last recorded decision. It
// guarantees that every event gets a decision, that executions are requested in the order of the events, and that an
// event decided twice (after a crash, or by two copies for a moment) leads to one execution per rule: their ids derive
// from event and rule.
// Of a rule with once_per one event of each window leads to an execution, the first that EVENTS received, however
// late and however often its events are decided: windows are measured by the times of the stream, and what went
// through is in the bucket ONCE before it is requested.
//
// Definitions come from PostgreSQL. While it is away the last known ones serve; a copy that never knew any
// waits, and so do the events.
package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lease"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
)

// leaseKey names the lease of the active copy.
const leaseKey = "rules"

// Config is what a Service needs. All fields but Registerer are required.
type Config struct {
	Bus        *bus.Bus
	DB         *pgxpool.Pool
	ID         string // unique to this copy
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Service decides events.
type Service struct {
	Config
	facts   *execution.Facts
	store   *bus.Group // what goes to the bus in bursts
	history *history.Store
	metrics *metrics
	once    jetstream.KeyValue // bucket ONCE; the active copy opens it when it begins to decide
	sets    *ruleSets          // of the active copy, as its decisions name them

	definitions *definitions.Store
	learning    sync.Mutex            // one set of definitions is taken over at a time
	index       atomic.Pointer[index] // nil until definitions were read once
	ready       chan struct{}         // closed when index is set for the first time
}

// New makes a Service.
func New(c Config) (*Service, error) {
	if c.Bus == nil || c.DB == nil || c.ID == "" || c.Logger == nil {
		return nil, errors.New("rules: Bus, DB, ID and Logger are required")
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("rules: register metrics: %w", err)
	}
	return &Service{
		Config: c, facts: execution.NewFacts(c.Bus.JS), store: c.Bus.NewGroup(), history: history.New(c.DB), metrics: m,
		definitions: definitions.New(c.DB), ready: make(chan struct{}),
	}, nil
}

// Run decides events until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return s.definitions.Watch(ctx, s.Logger, s.learn)
	})
	g.Go(func() error {
		return lease.Campaign(ctx, lease.Config{JS: s.Bus.JS, Key: leaseKey, Owner: s.ID, Logger: s.Logger}, s.lead)
	})
	return g.Wait()
}

// learn takes over a new set of definitions. Events that are being decided finish under the old one.
func (s *Service) learn(snap *definitions.Snapshot) {
	s.learning.Lock()
	defer s.learning.Unlock()
	old := s.index.Load()
	if old != nil && snap.Revision <= old.revision {
		return
	}
	s.index.Store(newIndex(snap, old))
	if old == nil {
		close(s.ready)
	}
}

// lookTimeout bounds the look at the database for a trigger that nobody knows.
const lookTimeout = time.Second

// indexFor gives the rules to ask about an event. Whoever installs a pack may publish at once, before word of
// the pack has come here: a trigger is unknown only when the database does not know it either.
func (s *Service) indexFor(ctx context.Context, trigger pack.Ref) *index {
	ix := s.index.Load()
	if _, known := ix.triggers[trigger]; known {
		return ix
	}
	if err := s.lookAgain(ctx, ix.revision); err != nil && ctx.Err() == nil {
		s.Logger.WarnContext(ctx, "definitions unreachable, a trigger is taken for unknown",
			slog.String(logging.Trigger, trigger.String()), slog.Any(logging.Error, err))
	}
	return s.index.Load()
}

func (s *Service) lookAgain(ctx context.Context, known int64) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	revision, err := s.definitions.Revision(ctx)
	if err != nil || revision == known {
		return err
	}
	snap, err := s.definitions.Snapshot(ctx)
	if err != nil {
		return err
	}
	s.learn(snap)
	return nil
}

func (s *Service) lead(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ready:
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.decideAll(ctx) })
	g.Go(func() error { return s.makeRoom(ctx) })
	return g.Wait()
}
