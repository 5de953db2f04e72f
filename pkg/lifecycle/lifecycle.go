// Package lifecycle runs services together, tells a clean stop from a failure, and waits between attempts no longer than
// they run.
//
// The first service that ends with a failure stops the others; Run waits for all of them. A service that ends
// because it was asked to is no failure, whatever error carries the message: that is decided here and nowhere
// else.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/logging"
)

// Service is something that runs until its context ends and has stopped all it started when it returns.
type Service interface {
	Run(ctx context.Context) error
}

// Func lets a function be a Service.
type Func func(ctx context.Context) error

// Run calls f.
func (f Func) Run(ctx context.Context) error { return f(ctx) }

// Named is a service with the name that log lines and errors give it.
type Named struct {
	Name    string
	Service Service
}

// Run runs the services until ctx ends or one of them fails.
func Run(ctx context.Context, log *slog.Logger, services ...Named) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range services {
		g.Go(func() error { return run(gctx, log, s) })
	}
	return g.Wait()
}

func run(ctx context.Context, log *slog.Logger, s Named) error {
	log.DebugContext(ctx, "service started", slog.String(logging.Service, s.Name))
	err := Stopped(ctx, s.Service.Run(ctx))
	log.DebugContext(ctx, "service stopped", slog.String(logging.Service, s.Name), slog.Any(logging.Error, err))
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	if ctx.Err() == nil {
		return fmt.Errorf("%s: %w", s.Name, ErrStoppedEarly)
	}
	return nil
}

// ErrStoppedEarly is returned when a service ended though nobody asked it to.
var ErrStoppedEarly = errors.New("stopped without being asked to")

// Stopped turns the error of something that was asked to stop into nil.
func Stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		return nil
	}
	return err
}
