package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// configs is the configuration of packs as the installation has set it.
type configs struct {
	log   *slog.Logger
	ready chan struct{} // closed when what was set before the start is known
	once  sync.Once

	mu sync.Mutex // guards of
	of map[string]json.RawMessage
}

func newConfigs(log *slog.Logger) *configs {
	return &configs{log: log, ready: make(chan struct{}), of: map[string]json.RawMessage{}}
}

// pack gives the configuration of a pack; an empty object where none was set.
func (c *configs) pack(name string) json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.of[name]; len(v) > 0 {
		return v
	}
	return emptyObject
}

// follow keeps it up to date until ctx ends.
func (c *configs) follow(ctx context.Context, js jetstream.JetStream) {
	for ctx.Err() == nil {
		if err := c.watch(ctx, js); ctx.Err() == nil {
			c.log.WarnContext(ctx, "configuration of packs not followed", slog.Any(logging.Error, err), slog.Duration("retry_in", consumerPause))
			lifecycle.Pause(ctx, consumerPause)
		}
	}
}

// watch takes a whole new picture and then changes. While it does not have it, the one before counts.
func (c *configs) watch(ctx context.Context, js jetstream.JetStream) error {
	w, err := watchAll(ctx, js, streams.BucketConfigs)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }() // it has ended by itself when its context has
	fresh := map[string]json.RawMessage{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, open := <-w.Updates():
			switch {
			case !open:
				return fmt.Errorf("watch bucket %s: %w", streams.BucketConfigs, errWatchEnded)
			case e == nil:
				c.replace(fresh)
				fresh = nil
			case fresh != nil:
				take(fresh, e)
			default:
				c.mu.Lock()
				take(c.of, e)
				c.mu.Unlock()
			}
		}
	}
}

func (c *configs) replace(all map[string]json.RawMessage) {
	c.mu.Lock()
	c.of = all
	c.mu.Unlock()
	c.once.Do(func() { close(c.ready) })
}

func take(into map[string]json.RawMessage, e jetstream.KeyValueEntry) {
	if e.Operation() == jetstream.KeyValuePut && json.Valid(e.Value()) {
		into[e.Key()] = e.Value()
		return
	}
	delete(into, e.Key())
}
