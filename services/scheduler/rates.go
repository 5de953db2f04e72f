package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// rateSlack is how long the state of a token bucket is kept after it is full, for clocks that differ.
const rateSlack = time.Minute

// keepRates notes how far token buckets are used up before the executions that used them are dispatched: a leader
// that dies in between has wasted tokens, and the next one admits nobody too soon.
func (t *term) keepRates(ctx context.Context) error {
	for {
		admitted, err := t.rated.take(ctx, bus.MaxBatch)
		if err != nil {
			return err
		}
		latest := map[string]time.Time{}
		for _, a := range admitted {
			latest[a.Bucket] = a.FullAt
		}
		for key, fullAt := range latest {
			if err := t.keepRate(ctx, key, fullAt); err != nil {
				return err
			}
		}
		t.dispatch.put(admitted...)
	}
}

func (t *term) keepRate(ctx context.Context, key string, fullAt time.Time) error {
	subject, err := streams.EntrySubject(streams.BucketRates, key)
	if err != nil {
		return err
	}
	data, err := json.Marshal(streams.RateState{Version: streams.Version, FullAt: fullAt})
	if err != nil {
		return fmt.Errorf("encode rate: %w", err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	ttl := max(time.Until(fullAt), 0) + rateSlack
	return t.insist(ctx, "keep a rate", func() error {
		_, err := t.Bus.JS.PublishMsg(ctx, m, jetstream.WithMsgTTL(ttl.Truncate(time.Second)))
		return err
	})
}

// readRates takes in how far token buckets were used up under earlier leaders.
func (t *term) readRates(ctx context.Context) error {
	kv, err := t.Bus.JS.KeyValue(ctx, streams.BucketRates)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketRates, err)
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", streams.BucketRates, err)
	}
	defer func() { _ = w.Stop() }() // it has ended by itself when its context has
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, open := <-w.Updates():
			if !open {
				return fmt.Errorf("read bucket %s: %w", streams.BucketRates, errors.Join(errWatchClosed, context.Cause(ctx)))
			}
			if e == nil {
				return nil
			}
			t.restoreRate(ctx, e)
		}
	}
}

func (t *term) restoreRate(ctx context.Context, e jetstream.KeyValueEntry) {
	var said streams.RateState
	if err := json.Unmarshal(e.Value(), &said); err != nil {
		t.Logger.WarnContext(ctx, "rate passed over", slog.String("key", e.Key()), slog.Any(logging.Error, err))
		return
	}
	t.state.RestoreBucket(e.Key(), said.FullAt)
}
