package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// try is one attempt to make a pack ready.
type try struct {
	*installs
	ctx    context.Context // of this attempt
	brief  streams.Install
	number int
	report streams.Environment
	silent bool // nobody asked for reports
	out    *logs.Writer
}

func (t *try) build() error {
	t.report.Status, t.report.StartedAt = streams.Installing, now()
	log := t.openLog()
	if t.brief.Generation > 1 || t.number > 1 {
		if err := t.again(t.ctx); err != nil {
			t.log.WarnContext(t.ctx, "runtimes not looked for", slog.Any(logging.Error, err))
		}
	}
	e, err := t.fetchAndBuild(log)
	t.closeLog()
	switch {
	case err == nil:
		t.ready(t.ctx, e, time.Now())
		t.installed(e)
		e.Release()
		return nil
	case t.ctx.Err() == nil && !errors.Is(err, environment.ErrRetired):
		t.failed(err)
	}
	return err
}

// fetchAndBuild tries again for as long as the archive cannot be had because the bus is away.
func (t *try) fetchAndBuild(log io.Writer) (*environment.Environment, error) {
	once := func() (*environment.Environment, error) {
		e, err := t.store.Build(t.ctx, environment.Request{
			Digest: t.brief.Digest, Log: log, Step: t.step,
			Archive: func(ctx context.Context) (io.ReadCloser, error) { return t.archive(ctx, t.brief.Digest) },
		})
		if err != nil && !errors.Is(err, environment.ErrFetch) && !errors.Is(err, environment.ErrNotBuilt) {
			return nil, backoff.Permanent(err)
		}
		return e, err
	}
	notify := func(err error, wait time.Duration) {
		t.log.WarnContext(t.ctx, "pack not fetched", slog.String("digest", t.brief.Digest), slog.Any(logging.Error, err), slog.Duration("retry_in", wait))
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, 2*time.Second
	return backoff.Retry(t.ctx, once, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0), backoff.WithNotify(notify))
}

// openLog begins the installation's log. Without one it goes on all the same.
func (t *try) openLog() io.Writer {
	if t.silent {
		return io.Discard
	}
	id := LogID(t.brief, t.about.Runner)
	if t.number > 1 {
		id = fmt.Sprintf("%s-%d", id, t.number)
	}
	var err error
	if t.out, err = t.logs().NewWriter(id, logs.Source{Header: streams.HeaderPack, Name: t.brief.Pack}, t.limits); err != nil {
		t.log.ErrorContext(t.ctx, "no log of an installation", slog.String("log", id), slog.Any(logging.Error, err))
		return io.Discard
	}
	t.report.Log = id
	return t.out.Stdout()
}

// LogID names the log of an installation.
func LogID(b streams.Install, runner string) string {
	return streams.InstallLog(b.Digest, runner, b.Generation)
}

func (t *try) closeLog() {
	if t.out == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), closing)
	defer cancel()
	if _, err := t.out.Close(ctx); err != nil {
		t.log.WarnContext(t.ctx, "log of an installation not stored", slog.String("log", t.report.Log), slog.Any(logging.Error, err))
	}
}

func (t *try) step(step string) {
	t.report.Step = step
	t.say()
}

func (t *try) installed(e *environment.Environment) {
	at := now()
	t.report.Status, t.report.InstalledAt, t.report.Step, t.report.Missing = streams.Installed, &at, "", e.Missing
	for _, f := range e.Runtimes {
		t.report.Runtimes = append(t.report.Runtimes, streams.Runtime{Name: f.Name, Version: f.Version, Path: f.Path})
	}
	t.say()
	t.log.InfoContext(t.ctx, "pack installed", slog.String("pack", t.brief.Pack), slog.String("digest", t.brief.Digest))
}

func (t *try) failed(err error) {
	t.report.Status, t.report.Error = streams.InstallError, err.Error()
	if f, ok := errors.AsType[*environment.Failure](err); ok {
		t.report.Step, t.report.Tail = f.Step, f.Tail
	}
	t.say()
	t.log.WarnContext(t.ctx, "pack not installed", slog.String("pack", t.brief.Pack), slog.String("digest", t.brief.Digest), slog.Any(logging.Error, err))
}

// say reports how far it is, unless the pack is no longer wanted.
func (t *try) say() {
	if !t.silent && t.ctx.Err() == nil {
		t.reports.put(streams.EnvironmentKey(t.brief.Digest, t.about.Runner), t.report)
	}
}
