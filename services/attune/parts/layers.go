package parts

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/attune/attune/pkg/lifecycle"
)

// Layers runs groups of services, each of which needs the groups below it: they are started from the bottom
// up and stopped from the top down, and a group is stopped when all above it have ended. Several may be added
// at once.
type Layers struct {
	Logger *slog.Logger
	Fail   context.CancelCauseFunc // told the error of a service that ends by itself

	mu      sync.Mutex // guards running
	running []layer
}

type layer struct {
	stop  context.CancelFunc
	ended chan error
}

// Add starts a group on top of the others. Its services live until Stop, whatever becomes of ctx.
func (l *Layers) Add(ctx context.Context, services ...lifecycle.Named) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	one := layer{stop: stop, ended: make(chan error, 1)}
	l.mu.Lock()
	l.running = append(l.running, one)
	l.mu.Unlock()
	go func() {
		err := lifecycle.Run(ctx, l.Logger, services...)
		if err != nil {
			l.Fail(err)
		}
		one.ended <- err
	}()
}

// Closing adds something that only has to be closed when what stands on it has stopped.
func (l *Layers) Closing(ctx context.Context, name string, shut func()) {
	l.Add(ctx, lifecycle.Named{Name: name, Service: lifecycle.Func(func(ctx context.Context) error {
		<-ctx.Done()
		shut()
		return nil
	})})
}

// Stop stops all groups and gives the errors of those that did not end well.
func (l *Layers) Stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, one := range slices.Backward(l.running) {
		one.stop()
		errs = append(errs, <-one.ended)
	}
	l.running = nil
	return errors.Join(errs...)
}
