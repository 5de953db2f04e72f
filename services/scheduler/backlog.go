package scheduler

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// backlog hands work from the loop of a term to a worker. Putting never blocks, so that a slow server holds up
// the worker and not the decisions; what it may hold is bounded by the executions that the term knows.
type backlog[T any] struct {
	more chan struct{} // holds a token while items may be there

	mu    sync.Mutex // guards the field below
	items []T
}

func newBacklog[T any]() *backlog[T] { return &backlog[T]{more: make(chan struct{}, 1)} }

func (b *backlog[T]) put(items ...T) {
	if len(items) == 0 {
		return
	}
	b.mu.Lock()
	b.items = append(b.items, items...)
	b.mu.Unlock()
	b.wake()
}

func (b *backlog[T]) wake() {
	select {
	case b.more <- struct{}{}:
	default: // a token is there already
	}
}

// take waits for items and gives at most limit of them, in order.
func (b *backlog[T]) take(ctx context.Context, limit int) ([]T, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-b.more:
		}
		if items := b.cut(limit); len(items) > 0 {
			return items, nil
		}
	}
}

func (b *backlog[T]) cut(limit int) []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(limit, len(b.items))
	items := b.items[:n:n]
	b.items = b.items[n:]
	if len(b.items) > 0 {
		b.wake()
		return items
	}
	b.items = nil
	return items
}

// handOver lets workers carry out what the loop decided, each as often as it takes until it is done or the term
// ends.
func handOver[T any](ctx context.Context, b *backlog[T], workers int, do func(context.Context, T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		g.Go(func() error {
			for {
				one, err := b.take(ctx, 1)
				if err != nil {
					return err
				}
				if err := do(ctx, one[0]); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}
