package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/sandbox"
	"github.com/attune/attune/streams"
)

// Run runs executions until ctx ends; then it takes no more, waits for what runs, and ends it when the drain
// timeout is over.
func (r *Runner) Run(ctx context.Context) error {
	defer func() {
		if err := errors.Join(r.closeSandbox(), r.place.close()); err != nil {
			r.log.WarnContext(ctx, "folder not given back", slog.Any(logging.Error, err))
		}
	}()
	defer r.launcher.Close()
	found := make(chan error, 1)
	go func() { _, err := r.machine.look(ctx, false); found <- err }() // while the bus is looked for
	err := r.attach(ctx, r.openLogs)
	stopPacks := r.keepPacks(ctx, err == nil) // from now on, since what was built before is ready at once
	defer stopPacks()
	if err == nil {
		err = r.attach(ctx, r.takeOver)
	}
	if looked := <-found; err == nil && looked != nil {
		err = fmt.Errorf("runner: %w", looked)
	}
	if err != nil {
		return err
	}
	r.clearContainers(ctx)
	lasting := context.WithoutCancel(ctx)
	stopBeating := r.beat(lasting) // until nothing runs any more
	defer stopBeating()
	work, kill := context.WithCancelCause(lasting)
	defer kill(nil)
	r.log.InfoContext(ctx, "runner started", slog.Int("slots", r.Slots), slog.String("pool", r.Pool), slog.String("isolation", sandbox.Summary(r.sandbox.Features())), slog.Any("runtimes", r.machine.runtimes()))
	err = r.work(ctx, work)
	r.drain(work, kill)
	r.hands.dismiss()
	return err
}

// keepPacks has packs ready, and says so, until the returned function is called. What INSTALLS asks is followed until
// ctx ends.
func (r *Runner) keepPacks(ctx context.Context, attached bool) (stop func()) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	if attached {
		done.Go(func() { r.installs.reports.run(lasting) })
		done.Go(func() { r.installs.follow(ctx, r.Bus.JS) })
		done.Go(func() { r.configs.follow(lasting, r.Bus.JS) })
		done.Go(func() { r.withdraw(lasting, r.place.previous) })
	}
	return func() {
		r.installs.close()
		cancel()
		done.Wait()
		if attached {
			r.withdraw(context.WithoutCancel(ctx), r.place.name)
		}
	}
}

// withdraw removes what a runner that has gone reported. What cannot be removed now is of no runner that lives, and
// counts nothing.
func (r *Runner) withdraw(ctx context.Context, name string) {
	if name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, streams.RunnerHeartbeat)
	defer cancel()
	if err := r.installs.reports.removeOf(ctx, name); err != nil {
		r.log.DebugContext(ctx, "reports left behind", slog.Any(logging.Error, err))
	}
}

// work takes executions, and follows which ones the runner fits, until ctx ends.
func (r *Runner) work(ctx, work context.Context) error {
	select {
	case <-r.configs.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var done sync.WaitGroup
	done.Go(func() { r.followPlacements(ctx) })
	done.Go(func() { r.spares.Run(ctx) })
	defer done.Wait()
	return r.takeWork(ctx, work)
}

// detect finds the interpreters of this machine.
func (r *Runner) detect(ctx context.Context) (*runtime.Set, error) {
	home, _ := os.UserHomeDir() // without one there are no folders of version managers
	containers := r.Containers
	containers.Home = home
	memory := runtime.OpenMemory(filepath.Join(r.place.dir, "interpreters.json"))
	found := runtime.Detect(ctx, runtime.DetectConfig{
		Memory:      memory,
		Definitions: r.defined, Path: r.Path, Folders: filepath.SplitList(r.RuntimePath), Home: home, Container: containers,
		PassedOver: func(name string, err error) {
			r.log.DebugContext(ctx, "interpreter passed over", slog.String("runtime", name), slog.Any(logging.Error, err))
		},
	})
	if err := memory.Save(); err != nil {
		r.log.WarnContext(ctx, "the next start will be slower", slog.Any(logging.Error, err))
	}
	return runtime.NewSet(runtime.SetConfig{
		Definitions: r.defined, Found: found, Dir: r.place.wrappers, Path: r.Path, Container: containers,
	})
}

// clearContainers removes the containers that a killed runner left.
func (r *Runner) clearContainers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clearing)
	defer cancel()
	if err := r.machine.current().ClearAll(ctx); err != nil {
		r.log.WarnContext(ctx, "containers not removed", slog.Any(logging.Error, err))
	}
}

// attach does what needs the bus. While the bus does not answer it tries again.
func (r *Runner) attach(ctx context.Context, once func(context.Context) error) error {
	notify := func(err error, wait time.Duration) {
		r.log.WarnContext(ctx, "bus is not ready", slog.Any(logging.Error, err), slog.Duration("retry_in", wait))
	}
	return lifecycle.Insist(ctx, backoff.NewExponentialBackOff(), notify, func() error { return once(ctx) })
}

func (r *Runner) openLogs(ctx context.Context) (err error) {
	r.logs, err = logs.Open(ctx, logs.Config{Bus: r.Bus, Logger: r.log, Dir: r.place.spool})
	return err
}

// takeOver delivers what the runner before this one had left to say, and finds the pool.
func (r *Runner) takeOver(ctx context.Context) error {
	if err := r.deliverSpool(ctx); err != nil {
		return err
	}
	return streams.EnsurePool(ctx, r.Bus.JS, r.Pool)
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
