package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// configs is the configuration of packs as the installation has set it.
type configs struct {
	log     *slog.Logger
	changed func(pack string, edition uint64) // told of every change
	ready   chan struct{}                     // closed when what was set before the start is known
	once    sync.Once

	mu    sync.Mutex // guards the fields below
	of    map[string]config
	count uint64
}

// config is the configuration of a pack.
type config struct {
	value   json.RawMessage // nil: none is set
	edition uint64          // another one with every change; 0: none was ever set
}

func newConfigs(log *slog.Logger, changed func(pack string, edition uint64)) *configs {
	return &configs{log: log, changed: changed, ready: make(chan struct{}), of: map[string]config{}}
}

// pack gives the configuration of a pack; an empty object where none is set.
func (c *configs) pack(name string) config {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.of[name]
	if len(v.value) == 0 {
		v.value = emptyObject
	}
	return v
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
	w, err := bus.Watch(ctx, js, streams.BucketConfigs, jetstream.AllKeys)
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
				one := map[string]json.RawMessage{}
				take(one, e)
				c.set(e.Key(), one[e.Key()])
			}
		}
	}
}

// set takes in a configuration, if it is another one.
func (c *configs) set(name string, value json.RawMessage) {
	c.mu.Lock()
	if bytes.Equal(c.of[name].value, value) {
		c.mu.Unlock()
		return
	}
	c.count++
	edition := c.count
	c.of[name] = config{value: value, edition: edition}
	c.mu.Unlock()
	c.changed(name, edition)
}

func (c *configs) replace(all map[string]json.RawMessage) {
	c.mu.Lock()
	names := slices.AppendSeq(slices.Collect(maps.Keys(c.of)), maps.Keys(all))
	c.mu.Unlock()
	for _, name := range names {
		c.set(name, all[name])
	}
	c.once.Do(func() { close(c.ready) })
}

func take(into map[string]json.RawMessage, e jetstream.KeyValueEntry) {
	if e.Operation() == jetstream.KeyValuePut && json.Valid(e.Value()) {
		into[e.Key()] = e.Value()
		return
	}
	delete(into, e.Key())
}
