package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// reports keeps what ENVIRONMENTS says of this runner as it is: what could not be said while the bus was away is
// said when it is back. Of two reports about one pack only the later one need be said.
type reports struct {
	js   jetstream.JetStream
	log  *slog.Logger
	wake chan struct{}

	mu     sync.Mutex                     // guards the fields below
	wanted map[string]streams.Environment // what ought to be there
	dirty  map[string]bool                // keys that are to be written or deleted
}

func newReports(js jetstream.JetStream, log *slog.Logger) *reports {
	return &reports{js: js, log: log, wake: make(chan struct{}, 1), wanted: map[string]streams.Environment{}, dirty: map[string]bool{}}
}

func (rs *reports) put(key string, e streams.Environment) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.wanted[key] = e
	rs.touch(key)
}

func (rs *reports) drop(key string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if _, there := rs.wanted[key]; there {
		delete(rs.wanted, key)
		rs.touch(key)
	}
}

// repeat says everything again: the bus may have lost it.
func (rs *reports) repeat() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for key := range rs.wanted {
		rs.touch(key)
	}
}

// touch marks a key. Its caller holds mu.
func (rs *reports) touch(key string) {
	rs.dirty[key] = true
	select {
	case rs.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends.
func (rs *reports) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-rs.wake:
		}
		for err := rs.flush(ctx); err != nil && ctx.Err() == nil; err = rs.flush(ctx) {
			rs.log.WarnContext(ctx, "environments not reported", slog.Any(logging.Error, err), slog.Duration("retry_in", retryEvery))
			lifecycle.Pause(ctx, retryEvery)
		}
	}
}

// flush writes all that is to be written. What fails is tried again the next time.
func (rs *reports) flush(ctx context.Context) error {
	kv, err := rs.js.KeyValue(ctx, streams.BucketEnvironments)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketEnvironments, err)
	}
	for {
		key, e, there, ok := rs.next()
		if !ok {
			return nil
		}
		if err := write(ctx, kv, key, e, there); err != nil {
			rs.mu.Lock()
			rs.dirty[key] = true
			rs.mu.Unlock()
			return err
		}
	}
}

func (rs *reports) next() (key string, e streams.Environment, there, ok bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for key := range rs.dirty {
		delete(rs.dirty, key)
		e, there := rs.wanted[key]
		return key, e, there, true
	}
	return "", streams.Environment{}, false, false
}

func write(ctx context.Context, kv jetstream.KeyValue, key string, e streams.Environment, there bool) error {
	ctx, cancel := context.WithTimeout(ctx, streams.RunnerHeartbeat)
	defer cancel()
	if !there {
		return kv.Purge(ctx, key)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	_, err = kv.Put(ctx, key, data)
	return err
}

// removeOf removes the reports of a runner that has gone.
func (rs *reports) removeOf(ctx context.Context, runner string) error {
	kv, err := rs.js.KeyValue(ctx, streams.BucketEnvironments)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketEnvironments, err)
	}
	keys, err := kv.ListKeysFiltered(ctx, streams.EnvironmentKey("*", runner))
	if err != nil {
		return fmt.Errorf("list bucket %s: %w", streams.BucketEnvironments, err)
	}
	defer func() { _ = keys.Stop() }() // it has ended
	var errs []error
	for key := range keys.Keys() {
		errs = append(errs, kv.Purge(ctx, key))
	}
	return errors.Join(errs...)
}
