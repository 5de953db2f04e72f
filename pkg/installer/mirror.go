package installer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
)

// mirror holds the entries of a key-value bucket as they are now.
type mirror[T any] struct {
	js     jetstream.JetStream
	bucket string
	log    *slog.Logger

	mu      sync.Mutex   // guards the fields below
	entries map[string]T // nil until all that is there has been seen
}

// run follows the bucket until ctx ends, and calls changed after every change.
func (m *mirror[T]) run(ctx context.Context, changed func()) error {
	for ctx.Err() == nil {
		err := m.follow(ctx, changed)
		if ctx.Err() != nil {
			break
		}
		m.log.WarnContext(ctx, "bucket not followed, trying again", slog.String("bucket", m.bucket), slog.Any(logging.Error, err))
		lifecycle.Pause(ctx, time.Second)
	}
	return context.Cause(ctx)
}

var errWatchEnded = errors.New("the watch has ended")

func (m *mirror[T]) follow(ctx context.Context, changed func()) error {
	w, err := bus.Watch(ctx, m.js, m.bucket, jetstream.AllKeys)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }() // it is stopped already when ctx has ended
	fresh := map[string]T{}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, open := <-w.Updates():
			switch {
			case !open:
				return errWatchEnded
			case e == nil: // all that was there has been sent
				m.replace(fresh)
			default:
				m.apply(ctx, fresh, e)
			}
			changed()
		}
	}
}

// replace puts a new map in place of the old one. The watch goes on writing to it.
func (m *mirror[T]) replace(fresh map[string]T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = fresh
}

// apply takes one change over. An entry that cannot be read counts as none.
func (m *mirror[T]) apply(ctx context.Context, to map[string]T, e jetstream.KeyValueEntry) {
	var v T
	gone := e.Operation() != jetstream.KeyValuePut
	if !gone {
		if err := json.Unmarshal(e.Value(), &v); err != nil {
			m.log.WarnContext(ctx, "entry cannot be read", slog.String("bucket", m.bucket), slog.String("key", e.Key()), slog.Any(logging.Error, err))
			gone = true
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if gone {
		delete(to, e.Key())
		return
	}
	to[e.Key()] = v
}

// all gives the entries; known is false before they have been seen.
func (m *mirror[T]) all() (entries map[string]T, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.entries), m.entries != nil
}
