package packs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

var quiet = slog.New(slog.DiscardHandler)

// open starts the server, the index and a runner.
func (b *Bench) open(ctx context.Context) (err error) {
	bin := filepath.Join(b.dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return err
	}
	if err := os.Symlink(b.python, filepath.Join(bin, "python3")); err != nil {
		return err
	}
	if b.server, err = natsserver.Start(natsserver.Config{Dir: filepath.Join(b.dir, "nats"), Addr: "127.0.0.1:0", Logger: quiet}); err != nil {
		return err
	}
	b.ends = append(b.ends, b.server.Stop)
	if b.bus, err = b.connect(ctx); err != nil {
		return err
	}
	if err := streams.Ensure(ctx, b.bus.JS, streams.Options{}); err != nil {
		return err
	}
	var stop func()
	if b.index, stop, err = serveIndex(ctx); err != nil {
		return err
	}
	b.ends = append(b.ends, stop)
	return b.startRunner(ctx)
}

func (b *Bench) connect(ctx context.Context) (*bus.Bus, error) {
	c, err := bus.Connect(ctx, bus.Config{URL: b.server.URL(), CredsFile: b.server.CredsFile(), Name: "bench", InProcess: b.server.InProcess(), FailFast: true})
	if err == nil {
		b.ends = append(b.ends, c.Close)
	}
	return c, err
}

// Close ends everything that was started.
func (b *Bench) Close() {
	for _, end := range slices.Backward(b.ends) {
		end()
	}
}

// startRunner starts a runner on its folder. The last of ends stops it.
func (b *Bench) startRunner(ctx context.Context) (err error) {
	b.runner, err = runner.New(runner.Config{
		Bus: b.bus, Name: "bench", DataDir: filepath.Join(b.dir, "runner"), Path: filepath.Join(b.dir, "bin") + ":/usr/bin:/bin", Logger: quiet,
		Builds: runner.Builds{Options: map[string]string{"pip_index_url": b.index}},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = b.runner.Run(ctx) }() // its end is asked for
	b.ends = append(b.ends, func() { cancel(); <-done })
	return nil
}

// install has a new pack installed, and gives the time until it is reported.
func (b *Bench) install(ctx context.Context, n int) (digest string, took time.Duration, err error) {
	digest, archive, err := b.pack(n)
	if err != nil {
		return "", 0, err
	}
	if err := b.bus.PutObject(ctx, streams.ObjectsPacks, jetstream.ObjectMeta{Name: digest}, archive); err != nil {
		return "", 0, err
	}
	kv, err := b.bus.JS.KeyValue(ctx, streams.BucketInstalls)
	if err != nil {
		return "", 0, err
	}
	brief, err := json.Marshal(streams.Install{
		Version: streams.Version, Pack: "bench", PackVersion: fmt.Sprintf("1.0.%d", n), Digest: digest, Pools: []string{streams.DefaultPool}, Generation: 1,
	})
	if err != nil {
		return "", 0, err
	}
	took, err = timed(func() error {
		if _, err := kv.Put(ctx, digest, brief); err != nil {
			return err
		}
		return b.installed(ctx, digest)
	})
	return digest, took, err
}

func (b *Bench) pack(n int) (digest string, archive []byte, err error) {
	dir := filepath.Join(b.dir, fmt.Sprint("pack", n))
	for name, text := range map[string]string{
		"pack.yaml":        fmt.Sprintf("name: bench\nversion: 1.0.%d\nruntime: {python: \">=3.8\"}\n", n),
		"requirements.txt": "benchlib==1.0\n",
		"actions/a.yaml":   "runtime: python\nentry_point: a.py\n",
		"actions/a.py":     "import benchlib\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return "", nil, err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", nil, err
		}
	}
	return pack.Archive(dir)
}

// installed waits for the report of the runner that runs now.
func (b *Bench) installed(ctx context.Context, digest string) error {
	kv, err := b.bus.JS.KeyValue(ctx, streams.BucketEnvironments)
	if err != nil {
		return err
	}
	w, err := kv.Watch(ctx, streams.EnvironmentKey(digest, b.runner.Name()))
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }() // it is of no use any more
	for e := range w.Updates() {
		var report streams.Environment
		if e == nil || e.Operation() != jetstream.KeyValuePut {
			continue
		}
		if err := json.Unmarshal(e.Value(), &report); err != nil {
			return err
		}
		switch report.Status {
		case streams.Installed:
			return nil
		case streams.InstallError:
			return errors.New(report.Error)
		default:
		}
	}
	return context.Cause(ctx)
}

// restart stops the runner and gives the time from the start of the next to its report.
func (b *Bench) restart(ctx context.Context, digest string) (time.Duration, error) {
	b.ends[len(b.ends)-1]()
	b.ends = b.ends[:len(b.ends)-1]
	return timed(func() error {
		if err := b.startRunner(ctx); err != nil {
			return err
		}
		return b.installed(ctx, digest)
	})
}

// perRun runs the environment's python bare, and as a runner does, in turns.
func (b *Bench) perRun(ctx context.Context, digest string) error {
	launcher, err := process.NewLauncher(process.Config{Seed: filepath.Join(b.dir, "launcher"), Logger: quiet})
	if err != nil {
		return err
	}
	defer launcher.Close()
	store, err := environment.Open(environment.Config{Dir: filepath.Join(b.dir, "runner", "packs"), Launcher: launcher})
	if err != nil {
		return err
	}
	defer store.Close()
	for range b.runs {
		if err := b.once(ctx, store, launcher, digest); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) once(ctx context.Context, store *environment.Store, launcher *process.Launcher, digest string) error {
	f := &b.perRunOf
	began := time.Now()
	e, err := store.Use(ctx, digest)
	if err != nil {
		return err
	}
	defer e.Release()
	f.use = append(f.use, time.Since(began))
	python := filepath.Join(e.Env("python"), "bin", "python")
	args := []string{filepath.Join(e.Pack, "actions", "a.py")}
	took, err := timed(func() error {
		_, err := launcher.Run(ctx, process.Spec{Path: python, Args: args, Dir: b.dir, Env: []string{"LANG=C.UTF-8"}})
		return err
	})
	if err != nil {
		return err
	}
	f.run = append(f.run, took)
	took, err = timed(func() error {
		cmd := exec.CommandContext(ctx, python, args...)
		cmd.Dir, cmd.Env = b.dir, []string{"LANG=C.UTF-8"}
		return cmd.Run()
	})
	f.bare = append(f.bare, took)
	return err
}
