package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/lease"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/streams"
)

// Secrets gives the values of secrets for a sensor that this host owns.
type Secrets interface {
	// PublicKey is the curve key that values are sealed to; others see it in the sensor's state.
	PublicKey() string
	// FetchForSensor gives the values of what is wanted, or an error when one that is not optional cannot be had.
	FetchForSensor(ctx context.Context, sensor string, wanted secret.Wanted) (secret.Given, error)
}

// Config describes a Host. Bus, ID, DataDir and Logger are required.
type Config struct {
	Bus      *bus.Bus
	DB       *pgxpool.Pool // tells when a secret has changed; nil: sensors are not told
	ID       string        // unique to this copy
	Name     string        // of the machine, for people; "" is the system's
	DataDir  string        // of hosts on this machine; each takes a folder of its own below it
	Programs Maker         // nil: as Environments says
	Environments
	Grace      time.Duration // between TERM and KILL
	Rate       int           // events a second that one sensor may publish; 0: DefaultRate
	Secrets    Secrets       // nil: sensors that declare secrets fail
	Pace       Pace          // the zero value is right but for tests
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Pace is how long a host waits for what. The zero values mean the defaults.
type Pace struct {
	FirstRetry time.Duration // pause after a sensor ended the first time; 1 s
	LastRetry  time.Duration // the longest such pause; 5 min
	Healthy    time.Duration // a sensor that ran for so long begins with the first pause again; 1 min
	Failed     time.Duration // pause after a sensor could not be started; 5 min
	Yield      time.Duration // how long a host with more than its share lets others go first; 2 s
	Secrets    time.Duration // how often changes of secrets are looked for; 5 s
}

// Defaults of Config.
const (
	DefaultRate  = 1000
	defaultGrace = 10 * time.Second
)

// Host runs sensors.
type Host struct {
	Config
	log     *slog.Logger
	metrics *metrics
	folder  *folder
	learned atomic.Pointer[definitions.Snapshot]
	own     *environments // nil when others make the programs
	news    chan struct{} // holds a token when learned is new

	// Set by Run before anything else uses them.
	launcher *process.Launcher
	logs     *logs.Store
	kv       jetstream.KeyValue // SENSORS
	leases   jetstream.KeyValue
}

// New checks the configuration, takes a folder, and kills what an earlier host left running there. Run must be called
// to give it back.
func New(c Config) (*Host, error) {
	if c.Bus == nil || c.ID == "" || c.DataDir == "" || c.Logger == nil {
		return nil, errors.New("sensor host: Bus, ID, DataDir and Logger are required")
	}
	c = c.withDefaults()
	h := &Host{Config: c, log: c.Logger, news: make(chan struct{}, 1)}
	var err error
	if h.metrics, err = newMetrics(c.Registerer); err != nil {
		return nil, fmt.Errorf("sensor host: %w", err)
	}
	if h.folder, err = takeFolder(c.DataDir); err != nil {
		return nil, fmt.Errorf("sensor host: %w", err)
	}
	h.launcher, err = process.NewLauncher(process.Config{Seed: h.folder.dir, Environ: h.folder.environ(), Logger: h.log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sensor host: %w", err), h.folder.close())
	}
	if h.Programs != nil {
		return h, nil
	}
	if h.own, err = h.newEnvironments(); err != nil {
		h.launcher.Close()
		return nil, errors.Join(fmt.Errorf("sensor host: %w", err), h.folder.close())
	}
	h.Programs = h.own
	return h, nil
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name, _ = os.Hostname() // it is for people only
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	c.Pace = c.Pace.withDefaults()
	return c
}

func (p Pace) withDefaults() Pace {
	for at, otherwise := range map[*time.Duration]time.Duration{
		&p.FirstRetry: time.Second, &p.LastRetry: 5 * time.Minute, &p.Healthy: time.Minute,
		&p.Failed: 5 * time.Minute, &p.Yield: 2 * time.Second, &p.Secrets: 5 * time.Second,
	} {
		if *at == 0 {
			*at = otherwise
		}
	}
	return p
}

// Learn takes over a new set of definitions.
func (h *Host) Learn(snap *definitions.Snapshot) {
	h.learned.Store(snap)
	token(h.news)
}

// Run runs sensors until ctx ends; then it asks them to end, publishes what they still write, and gives them to the
// other hosts.
func (h *Host) Run(ctx context.Context) error {
	defer func() {
		if err := h.folder.close(); err != nil {
			h.log.WarnContext(ctx, "folder not given back", slog.Any(logging.Error, err))
		}
	}()
	defer h.launcher.Close()
	if h.own != nil {
		defer h.own.Close()
	}
	if err := h.attach(ctx); err != nil {
		return err
	}
	// The lease is renewed until the last sensor has ended, whatever becomes of ctx.
	held, release := context.WithCancelCause(context.WithoutCancel(ctx))
	defer release(nil)
	var serving atomic.Bool
	defer context.AfterFunc(ctx, func() {
		if !serving.Load() {
			release(context.Cause(ctx))
		}
	})()
	c := lease.Config{JS: h.Bus.JS, Key: leaseOf(h.ID), Owner: h.ID, Logger: h.log.With(slog.String("host", h.Name))}
	return lease.Run(held, c, func(lost context.Context) error {
		serving.Store(true)
		err := h.serve(ctx, lost)
		if serving.Store(false); ctx.Err() != nil {
			release(context.Cause(ctx))
		}
		return err
	})
}

// leasePrefix begins the keys of hosts in the bucket LEASES.
const leasePrefix = "sensors."

// Leases matches the keys of all hosts in the bucket LEASES.
const Leases = leasePrefix + "*"

// OwnerOf gives the owner, as states of sensors name it, to which such a key belongs.
func OwnerOf(key string) string { return strings.TrimPrefix(key, leasePrefix) }

func leaseOf(owner string) string { return leasePrefix + owner }

// attach finds what the host needs on the bus. While the bus does not answer it tries again.
func (h *Host) attach(ctx context.Context) error {
	notify := func(err error, wait time.Duration) {
		h.log.WarnContext(ctx, "bus is not ready", slog.Any(logging.Error, err), slog.Duration("retry_in", wait))
	}
	return lifecycle.Insist(ctx, backoff.NewExponentialBackOff(), notify, func() error { return h.attachOnce(ctx) })
}

func (h *Host) attachOnce(ctx context.Context) (err error) {
	if h.logs, err = logs.Open(ctx, logs.Config{Bus: h.Bus, Logger: h.log}); err != nil {
		return err
	}
	if h.kv, err = h.Bus.JS.KeyValue(ctx, streams.BucketSensors); err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketSensors, err)
	}
	if h.leases, err = h.Bus.JS.KeyValue(ctx, streams.BucketLeases); err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketLeases, err)
	}
	return nil
}
