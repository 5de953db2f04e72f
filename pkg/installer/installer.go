package installer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/lease"
	"github.com/attune/attune/streams"
)

// What is used where Config says nothing.
const (
	DefaultBuildTimeout = 10 * time.Minute
	DefaultGrace        = 10 * time.Minute
	DefaultEvery        = 30 * time.Second
)

// allowance is what a runner gets beyond the time for building, to notice an install and to report on it.
const allowance = time.Minute

// leaseKey is the installer's entry in the bucket LEASES.
const leaseKey = "installer"

// Config says what the installer works with.
type Config struct {
	Bus          *bus.Bus
	DB           *pgxpool.Pool
	ID           string        // unique to this copy
	BuildTimeout time.Duration // what a runner may take to make a version ready; 0: DefaultBuildTimeout
	Grace        time.Duration // for how long nothing may have needed what is removed; 0: DefaultGrace
	Every        time.Duration // how often everything is looked at though nothing has changed; 0: DefaultEvery
	Settle       time.Duration // how long runners may take to show themselves after an outage; 0: streams.RunnerTTL
	TempDir      string        // where archives are unpacked to be read; "" is the system's
	Logger       *slog.Logger
	Registerer   prometheus.Registerer // nil: no metrics are shown
}

var errConfig = errors.New("installer: bus, database and id are needed")

// Installer is one copy of the service.
type Installer struct {
	Config
	log     *slog.Logger
	store   *definitions.Store
	metrics *metrics

	snapshot atomic.Pointer[definitions.Snapshot] // what is defined, as of the last Learn
	wake     chan struct{}                        // something may have changed
}

// New makes an installer.
func New(c Config) (*Installer, error) {
	if c.Bus == nil || c.DB == nil || c.ID == "" {
		return nil, errConfig
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.BuildTimeout = cmp.Or(c.BuildTimeout, DefaultBuildTimeout)
	c.Grace, c.Every, c.Settle = cmp.Or(c.Grace, DefaultGrace), cmp.Or(c.Every, DefaultEvery), cmp.Or(c.Settle, streams.RunnerTTL)
	return &Installer{Config: c, log: c.Logger, store: definitions.New(c.DB), metrics: newMetrics(c.Registerer), wake: make(chan struct{}, 1)}, nil
}

// Learn takes what is defined now. Whoever runs the installer calls it from Watch of the definitions, so that it needs
// no watch of its own, which would hold a connection.
func (i *Installer) Learn(s *definitions.Snapshot) {
	i.snapshot.Store(s)
	i.wakeUp()
}

func (i *Installer) wakeUp() {
	select {
	case i.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Run works whenever this copy holds the lease, until ctx ends.
func (i *Installer) Run(ctx context.Context) error {
	return lease.Campaign(ctx, lease.Config{JS: i.Bus.JS, Key: leaseKey, Owner: i.ID, Logger: i.log}, i.lead)
}

// lead does the work of the copy that holds the lease.
func (i *Installer) lead(ctx context.Context) error {
	l := newLeader(i)
	defer i.metrics.building.Set(0)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.runners.run(ctx, l.wakeUp) })
	g.Go(func() error { return l.reports.run(ctx, l.wakeUp) })
	g.Go(func() error { return l.work(ctx) })
	return g.Wait()
}

// call bounds one step of the work, so that a server which does not answer holds nothing up.
func call[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return do(ctx)
}

// callTimeout is how long one step may take. It is longer than a client waits for a NATS server that comes back.
const callTimeout = 10 * time.Second

// wanted is what a version asks of the runners.
func wanted(v definitions.Version, pools []string) streams.Install {
	return streams.Install{
		Version: streams.Version, Pack: v.Pack, PackVersion: v.Version, Digest: v.Digest, Pools: pools,
		Generation: v.Generation, RequestedAt: v.RequestedAt.UTC(),
	}
}
