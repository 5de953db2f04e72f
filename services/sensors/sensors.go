// Package sensors makes events out of time, and runs the sensors of packs.
//
// A trigger with a timer has ticks, which follow from its specification alone. One copy is active, elected by
// a lease; every tick becomes one event, whose id follows from trigger and tick: a tick that is published
// twice, after a crash or by two copies for a moment, is one event and leads to one execution of each rule.
// What was handled last is kept on the bus, so that the next start knows what was missed while nothing ran
// and follows the timer's catch_up: none of it, the last tick, or all of the last 24 hours.
//
// Definitions come from PostgreSQL. While it is away the last known ones serve.
package sensors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/lease"
	"github.com/attune/attune/streams"
)

// leaseKey names the lease of the active copy.
const leaseKey = "sensors"

// Clock is what time it is.
type Clock interface {
	Now() time.Time
	// At gives a channel that receives at a time, or soon when that has passed, and what ends the wait.
	At(t time.Time) (<-chan time.Time, func())
}

// Config is what a Service needs. All fields but Host, Clock and Registerer are required.
type Config struct {
	Bus        *bus.Bus
	DB         *pgxpool.Pool
	ID         string // unique to this copy
	Logger     *slog.Logger
	Host       Host  // runs the sensors of packs; nil: timers only
	Clock      Clock // nil: the machine's
	Registerer prometheus.Registerer
}

// Host runs the sensors of packs; pkg/sensor has one.
type Host interface {
	// Learn takes over a new set of definitions.
	Learn(snap *definitions.Snapshot)
	// Run runs sensors until ctx ends.
	Run(ctx context.Context) error
}

// Service publishes the ticks of timers, and has a host of sensors.
type Service struct {
	Config
	ticks *prometheus.CounterVec

	snapshot atomic.Pointer[definitions.Snapshot] // nil until definitions were read once
	changed  chan struct{}                        // holds a token when snapshot is new
}

// New makes a Service.
func New(c Config) (*Service, error) {
	if c.Bus == nil || c.DB == nil || c.ID == "" || c.Logger == nil {
		return nil, errors.New("sensors: Bus, DB, ID and Logger are required")
	}
	if c.Clock == nil {
		c.Clock = machineClock{}
	}
	s := &Service{Config: c, changed: make(chan struct{}, 1)}
	s.ticks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "attune_timer_ticks_total", Help: "Ticks of timers that were published.",
	}, []string{"trigger"})
	if c.Registerer != nil {
		if err := c.Registerer.Register(s.ticks); err != nil {
			return nil, fmt.Errorf("sensors: register metrics: %w", err)
		}
	}
	return s, nil
}

// Run publishes ticks and runs sensors until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return definitions.New(s.DB).Watch(ctx, s.Logger, s.learn)
	})
	g.Go(func() error {
		return lease.Campaign(ctx, lease.Config{JS: s.Bus.JS, Key: leaseKey, Owner: s.ID, Logger: s.Logger}, s.lead)
	})
	if s.Host != nil {
		g.Go(func() error { return s.Host.Run(ctx) })
	}
	return g.Wait()
}

// learn takes over a new set of definitions.
func (s *Service) learn(snap *definitions.Snapshot) {
	s.snapshot.Store(snap)
	if s.Host != nil {
		s.Host.Learn(snap)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Service) lead(ctx context.Context) error {
	kv, err := s.Bus.JS.KeyValue(ctx, streams.BucketTimers)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketTimers, err)
	}
	for s.snapshot.Load() == nil {
		if err := s.awaitChange(ctx); err != nil {
			return err
		}
	}
	return s.keepTime(ctx, &records{kv: kv})
}

func (s *Service) awaitChange(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.changed:
		return nil
	}
}

type machineClock struct{}

// Now leaves the monotonic part out: timers follow the wall clock, also when somebody sets it.
func (machineClock) Now() time.Time { return time.Now().Round(0) }

func (machineClock) At(t time.Time) (<-chan time.Time, func()) {
	timer := time.NewTimer(time.Until(t))
	return timer.C, func() { timer.Stop() }
}

// records are what was handled of each timer, on the bus.
type records struct {
	kv jetstream.KeyValue
}
