package sensor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/streams"
)

// Environments says how packs are made ready on this machine. The zero value will do.
type Environments struct {
	PacksDir    string   // where they are kept; "": in the host's data folder
	Path        string   // PATH of the programs; "" means runtime.DefaultPath
	RuntimePath []string // more folders with interpreters, or patterns of such
	RuntimeDirs []string // folders with definitions of further runtimes
	Options     map[string]string
	Env         []string
	Timeout     time.Duration
	MaxBytes    int64
}

// environments is a Maker that builds what packs need.
type environments struct {
	Environments
	js       jetstream.JetStream
	folder   *folder
	log      *slog.Logger
	defined  []runtime.Definition
	store    *environment.Store
	wrappers string

	mu   sync.Mutex // guards the fields below
	set  *runtime.Set
	at   time.Time       // when set was found
	made map[string]bool // digests that were asked for
}

// findAgain is for how long a machine's runtimes are taken to be as they were found.
const findAgain = time.Minute

func (h *Host) newEnvironments() (*environments, error) {
	m := &environments{Environments: h.Environments, js: h.Bus.JS, folder: h.folder, log: h.log, made: map[string]bool{}}
	m.Path = cmp.Or(m.Path, runtime.DefaultPath)
	m.wrappers = filepath.Join(h.folder.dir, "wrappers")
	var err error
	if m.defined, err = runtime.Definitions(m.RuntimeDirs...); err != nil {
		return nil, err
	}
	m.store, err = environment.Open(environment.Config{
		Dir: cmp.Or(m.PacksDir, filepath.Join(h.folder.dir, "packs")), Launcher: h.launcher, Definitions: m.defined, Path: m.Path,
		Runtimes: func(ctx context.Context) (environment.Runtimes, error) { return m.runtimes(ctx) },
		Options:  m.Options, Env: m.Env, Timeout: m.Timeout, MaxBytes: m.MaxBytes, Logger: h.log,
	})
	return m, err
}

// runtimes looks for interpreters, unless it just has.
func (m *environments) runtimes(ctx context.Context) (*runtime.Set, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.set != nil && time.Since(m.at) < findAgain {
		return m.set, nil
	}
	home, _ := os.UserHomeDir() // without one there are no folders of version managers
	memory := runtime.OpenMemory(filepath.Join(m.folder.dir, "interpreters.json"))
	found := runtime.Detect(ctx, runtime.DetectConfig{Memory: memory, Definitions: m.defined, Path: m.Path, Folders: m.RuntimePath, Home: home})
	if err := memory.Save(); err != nil {
		m.log.WarnContext(ctx, "the next start will be slower", slog.Any(logging.Error, err))
	}
	set, err := runtime.NewSet(runtime.SetConfig{Definitions: m.defined, Found: found, Dir: m.wrappers, Path: m.Path})
	if err == nil {
		m.set, m.at = set, time.Now()
	}
	return set, err
}

// Make builds the environment of the pack, unless it is there, and starts the sensor as an action would be.
func (m *environments) Make(ctx context.Context, digest string, s pack.Sensor, log io.Writer) (Program, error) {
	m.mu.Lock()
	m.made[digest] = true
	m.mu.Unlock()
	e, err := m.store.Build(ctx, environment.Request{Digest: digest, Archive: func(ctx context.Context) (io.ReadCloser, error) {
		return environment.Archives{JS: m.js}.Open(ctx, digest)
	}, Log: log})
	switch {
	case errors.Is(err, environment.ErrFetch), ctx.Err() != nil:
		return Program{}, fmt.Errorf("%w: %w", ErrTransient, err)
	case err != nil:
		return Program{}, err
	}
	p, err := m.program(ctx, e, s)
	if err != nil {
		e.Release()
		return Program{}, fmt.Errorf("sensor %s: %w", s.Name, err)
	}
	return p, nil
}

func (m *environments) program(ctx context.Context, e *environment.Environment, s pack.Sensor) (Program, error) {
	set, err := m.runtimes(ctx)
	if err != nil {
		return Program{}, err
	}
	at := runtime.Location{Pack: e.Pack, Env: e.Env(s.Runtime)}
	var missing streams.Missing
	var here bool
	if at.Interpreter, missing, here = e.Interpreter(s.Runtime); !here {
		return Program{}, fmt.Errorf("%w: %s", runtime.ErrNoRuntime, environment.Lacks(missing))
	}
	c, err := set.Command(at, pack.Action{Name: s.Name, Runtime: s.Runtime, EntryPoint: s.EntryPoint})
	if err != nil {
		return Program{}, err
	}
	path := strings.Join(append(c.Folders, m.Path), string(filepath.ListSeparator))
	return Program{Path: c.Path, Args: c.Args, Env: append([]string{"PATH=" + path}, c.Env...), Release: e.Release}, nil
}

// Keep removes what was made of all other packs, after its last use.
func (m *environments) Keep(digests map[string]bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for digest := range m.made {
		if !digests[digest] {
			delete(m.made, digest)
			m.store.Retire(digest)
		}
	}
	return nil
}

// Close waits for what is being built.
func (m *environments) Close() { m.store.Close() }
