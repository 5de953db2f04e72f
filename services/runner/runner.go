package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/sandbox"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/pkg/warm"
	"github.com/attune/attune/streams"
)

// Secrets gives the values of secrets for an execution that the runner owns.
type Secrets interface {
	// PublicKey is the curve key that values are sealed to; others see it in the runner's heartbeat.
	PublicKey() string
	// Fetch gives the values of what is wanted, or an error when one of them cannot be had.
	Fetch(ctx context.Context, execution string, attempt int, wanted func() secret.Wanted) (secret.Given, error)
}

// Config describes a runner. Bus, Name, DataDir and Logger are required.
type Config struct {
	Bus          *bus.Bus
	Name         string         // others see it with a suffix that is new at every start
	Pool         string         // "" means streams.DefaultPool
	Slots        int            // executions at once; 0: sixteen per processor
	DataDir      string         // of this runner alone
	Labels       streams.Labels // what this runner has that others may not
	Path         string         // PATH of the programs; "" means runtime.DefaultPath
	RuntimePath  string         // more folders with interpreters, or patterns of such, as in PATH
	RuntimesDir  string         // folder with definitions of further runtimes; "": only those that Attune brings
	Containers   runtime.ContainerConfig
	Isolation    Isolation
	PacksDir     string // where packs are kept ready; "": in DataDir
	Builds       Builds
	Logs         logs.Limits // of executions' output where their actions have none
	Grace        time.Duration
	DrainTimeout time.Duration // how long a stop waits for what runs
	WarmMemory   int64         // what processes that wait for executions may take, in bytes, beyond which none waits that was not declared; 0: none does
	WarmAge      time.Duration // how long one waits at most; 0: warm.DefaultAge
	Spare        time.Duration // how long packs that nobody asks for are kept after a start or an outage; 0: DefaultSpare
	Secrets      Secrets       // nil: actions that declare secrets fail
	Build        string        // version of Attune
	Logger       *slog.Logger
	Registerer   prometheus.Registerer // nil: no metrics
}

// Builds says how what packs need is built.
type Builds struct {
	Options  map[string]string // what steps of runtimes ask for: pip_index_url, pip_find_links, npm_registry, ...
	Env      []string          // "NAME=value" that builds have besides
	Timeout  time.Duration     // 0: environment.DefaultTimeout
	MaxBytes int64             // of the disk; 0: environment.DefaultMaxBytes
}

// Defaults of Config.
const (
	DefaultGrace        = 10 * time.Second
	DefaultDrainTimeout = 30 * time.Second
	DefaultSpare        = 10 * time.Minute // the installer says again within a minute what is wanted
	slotsPerProcessor   = 16               // actions of operations wait more than they compute, and so does the claim, for the disk
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
	sandbox  *sandbox.Sandbox // nil: programs are not isolated
	launcher *process.Launcher
	logs     *logs.Store
	store    *environment.Store
	packs    *packs
	installs *installs
	configs  *configs
	spares   *warm.Pool[generation, *spare]
	machine  *machine
	defined  []runtime.Definition
	metrics  *metrics
	started  time.Time

	slots *slots         // taken by intake, returned when the execution has ended
	runs  sync.WaitGroup // the executions under way
	hands *hands         // of them; nobody's any more when Run has returned

	join   chan string     // tokens of placements that the runner fits
	joined map[string]bool // those that it takes executions of; of intake's goroutine alone

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
		Config: c, log: c.Logger.With(slog.String(logging.Service, "runner")), facts: execution.NewGroupedFacts(c.Bus),
		metrics: newMetrics(c.Registerer), slots: newSlots(c.Slots), hands: newHands(), started: time.Now().UTC(),
		join: make(chan string), joined: map[string]bool{},
	}
	var err error
	if r.defined, err = runtime.Definitions(c.runtimeDirs()...); err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	if r.place, err = openPlace(c.DataDir, c.Name); err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	r.log = r.log.With(slog.String(logging.Runner, r.place.name))
	if err := r.equip(); err != nil {
		return nil, errors.Join(fmt.Errorf("runner: %w", err), r.closeSandbox(), r.place.close())
	}
	return r, nil
}

// equip makes ready what starts programs, and what they need.
func (r *Runner) equip() (err error) {
	if err := r.isolate(); err != nil {
		return err
	}
	if r.launcher, err = r.newLauncher(); err != nil {
		return err
	}
	if err := r.openPacks(); err != nil {
		r.launcher.Close()
		return err
	}
	return nil
}

// openPacks makes what has packs ready.
func (r *Runner) openPacks() (err error) {
	r.machine = newMachine(filepath.SplitList(r.RuntimePath+string(filepath.ListSeparator)+r.Path), r.detect)
	r.store, err = environment.Open(environment.Config{
		Dir: r.packsDir(), Launcher: r.launcher, Definitions: r.defined, Path: r.Path,
		Runtimes: func(ctx context.Context) (environment.Runtimes, error) { return r.machine.look(ctx, false) },
		Options:  r.Builds.Options, Env: r.Builds.Env, Timeout: r.Builds.Timeout, MaxBytes: r.Builds.MaxBytes, Logger: r.log,
	})
	r.packs = &packs{open: map[string]*opened{}}
	r.openSpares()
	r.configs = newConfigs(r.log, r.configured)
	r.installs = newInstalls(r)
	return err
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
	if c.Spare == 0 {
		c.Spare = DefaultSpare
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = DefaultDrainTimeout
	}
	return c
}

func (c Config) runtimeDirs() []string {
	if c.RuntimesDir == "" {
		return nil
	}
	return []string{c.RuntimesDir}
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
		Seed: r.place.dir, Environ: runtime.EnvResultFile + "=" + r.place.work + string(os.PathSeparator), Sandbox: r.sandbox, Logger: r.log,
	})
}

// Name is the name that others see.
func (r *Runner) Name() string { return r.place.name }
