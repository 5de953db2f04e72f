package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/streams"
)

// Secrets gives the values of secrets for an execution that the runner owns.
type Secrets interface {
	// PublicKey is the curve key that values are sealed to; others see it in the runner's heartbeat.
	PublicKey() string
	// Fetch gives the values by name, or an error when one of them cannot be had.
	Fetch(ctx context.Context, execution string, attempt int, names []string) (map[string]string, error)
}

// Config describes a runner. Bus, Name, DataDir and Logger are required.
type Config struct {
	Bus          *bus.Bus
	Name         string // others see it with a suffix that is new at every start
	Pool         string // "" means streams.DefaultPool
	Slots        int    // executions at once; 0: sixteen per processor
	DataDir      string // of this runner alone
	Path         string // PATH of the programs; "" means runtime.DefaultPath
	Grace        time.Duration
	DrainTimeout time.Duration // how long a stop waits for what runs
	Secrets      Secrets       // nil: actions that declare secrets fail
	Build        string        // version of Attune
	Logger       *slog.Logger
	Registerer   prometheus.Registerer // nil: no metrics
}

// Defaults of Config.
const (
	DefaultGrace        = 10 * time.Second
	DefaultDrainTimeout = 30 * time.Second
	slotsPerProcessor   = 16 // actions of operations wait more than they compute, and so does the claim, for the disk
)

var (
	// errCanceled is the cause of an end that a user asked for.
	errCanceled = errors.New("canceled by a user")
	// errDraining is the cause of an end because the runner stops and has waited long enough.
	errDraining = errors.New("runner stops")
	// errSuperseded is the cause of an end because the execution belongs to somebody else now.
	errSuperseded = errors.New("execution was taken from this runner")
)

// Runner runs executions.
type Runner struct {
	Config
	log      *slog.Logger
	facts    *execution.Facts
	place    *place
	launcher *process.Launcher
	logs     *logs.Store
	packs    *packs
	runtimes *runtime.Set
	found    []streams.Runtime
	metrics  *metrics
	started  time.Time

	free chan struct{}  // one token per slot; taken by intake, returned when the execution has ended
	runs sync.WaitGroup // the executions under way

	running  atomic.Int32
	draining atomic.Bool

	mu     sync.Mutex // guards tenure
	tenure *tenure
}

// New checks the configuration, takes possession of the data folder and kills what an earlier runner left
// running there. Run must be called to give it back.
func New(c Config) (*Runner, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	r := &Runner{
		Config: c, log: c.Logger.With(slog.String(logging.Service, "runner")), facts: execution.NewFacts(c.Bus.JS),
		metrics: newMetrics(c.Registerer), free: make(chan struct{}, c.Slots), started: time.Now().UTC(),
	}
	for range c.Slots {
		r.free <- struct{}{}
	}
	var err error
	if r.place, err = openPlace(c.DataDir, c.Name); err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	r.log = r.log.With(slog.String(logging.Runner, r.place.name))
	if r.launcher, err = r.newLauncher(); err != nil {
		return nil, errors.Join(fmt.Errorf("runner: %w", err), r.place.close())
	}
	return r, nil
}

func (c Config) withDefaults() Config {
	if c.Pool == "" {
		c.Pool = streams.DefaultPool
	}
	if c.Slots == 0 {
		c.Slots = slotsPerProcessor * goruntime.NumCPU()
	}
	if c.Path == "" {
		c.Path = runtime.DefaultPath
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = DefaultDrainTimeout
	}
	return c
}

func (c Config) check() error {
	_, poolErr := streams.PoolSubject(c.Pool)
	_, nameErr := streams.Token(c.Name)
	if c.Slots < 0 {
		return errors.Join(poolErr, nameErr, fmt.Errorf("slots: %d is negative", c.Slots))
	}
	return errors.Join(poolErr, nameErr)
}

// newLauncher makes the launcher. A runner's processes are known by its folder: whatever was started for it
// before is killed now.
func (r *Runner) newLauncher() (*process.Launcher, error) {
	return process.NewLauncher(process.Config{
		Seed: r.place.dir, Environ: runtime.EnvResultFile + "=" + r.place.work + string(os.PathSeparator), Logger: r.log,
	})
}

// Name is the name that others see.
func (r *Runner) Name() string { return r.place.name }

// Run runs executions until ctx ends; then it takes no more, waits for what runs, and ends it when the drain
// timeout is over.
func (r *Runner) Run(ctx context.Context) error {
	defer func() {
		if err := r.place.close(); err != nil {
			r.log.WarnContext(ctx, "folder not given back", slog.Any(logging.Error, err))
		}
	}()
	defer r.launcher.Close()
	if err := r.detect(ctx); err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	if err := r.attach(ctx); err != nil {
		return err
	}
	lasting := context.WithoutCancel(ctx)
	stopBeating := r.beat(lasting) // until nothing runs any more
	defer stopBeating()
	work, kill := context.WithCancelCause(lasting)
	defer kill(nil)
	r.log.InfoContext(ctx, "runner started", slog.Int("slots", r.Slots), slog.String("pool", r.Pool), slog.Any("runtimes", r.found))
	err := r.intake(ctx, work)
	r.drain(work, kill)
	return err
}

// detect does once what no execution should have to do.
func (r *Runner) detect(ctx context.Context) error {
	found := runtime.Detect(ctx, r.Path)
	for _, f := range found {
		r.found = append(r.found, streams.Runtime{Name: f.Name, Version: f.Version, Path: f.Path})
	}
	var err error
	r.runtimes, err = runtime.NewSet(found, r.place.wrappers, r.Path)
	return err
}

// attach finds what the runner needs on the bus, and delivers what was left to be said. While the bus does
// not answer it tries again.
func (r *Runner) attach(ctx context.Context) error {
	notify := func(err error, wait time.Duration) {
		r.log.WarnContext(ctx, "bus is not ready", slog.Any(logging.Error, err), slog.Duration("retry_in", wait))
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, r.attachOnce(ctx) },
		backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(0), backoff.WithNotify(notify))
	return err
}

func (r *Runner) attachOnce(ctx context.Context) error {
	var err error
	if r.logs, err = logs.Open(ctx, logs.Config{Bus: r.Bus, Logger: r.log}); err != nil {
		return err
	}
	if r.packs, err = openPacks(ctx, r.Bus.JS, r.place.packs); err != nil {
		return err
	}
	if err := r.deliverSpool(ctx); err != nil {
		return err
	}
	return r.ensureConsumer(ctx)
}

// drain waits for what runs. When the time is over it ends it, and still waits.
func (r *Runner) drain(ctx context.Context, kill context.CancelCauseFunc) {
	r.draining.Store(true)
	over := time.AfterFunc(r.DrainTimeout, func() {
		r.log.WarnContext(ctx, "drain timeout is over, ending what runs")
		kill(errDraining)
	})
	defer over.Stop()
	r.runs.Wait()
	r.log.InfoContext(ctx, "runner drained")
}
