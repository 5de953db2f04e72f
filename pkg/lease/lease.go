// Package lease elects one active copy of a service among several.
//
// The holder's entry in the bucket LEASES expires unless it is renewed by compare-and-set, so the death of a
// holder is noticed within streams.LeaseTTL and a clean stop at once. A lease elects, it does not fence: for a
// moment two copies may both believe that they hold it, when one was stopped and continues. What they do must
// be safe then, by compare-and-set or by ids that make repetition harmless.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/streams"
)

// ErrLost is the cause of the end of the holder's context when the lease could not be renewed in time.
var ErrLost = errors.New("lease lost")

// Config says which lease to hold and who asks.
type Config struct {
	JS     jetstream.JetStream
	Key    string        // the service: "scheduler"
	Owner  string        // unique to this copy
	TTL    time.Duration // 0: streams.LeaseTTL; must be the bucket's
	Logger *slog.Logger
}

// Run holds the lease whenever it can, and runs hold while it does. The context given to hold ends when the
// lease is lost, with ErrLost as its cause, or when ctx ends; Run waits for hold to return before it releases
// the lease or tries again. An error of hold that is not the end of its context ends Run. A bus that does not answer
// is waited for.
func Run(ctx context.Context, c Config, hold func(context.Context) error) error {
	if c.TTL == 0 {
		c.TTL = streams.LeaseTTL
	}
	h := &holder{Config: c}
	for {
		revision, err := h.acquire(ctx)
		if err != nil {
			return err
		}
		if err := h.serve(ctx, revision, hold); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// Campaign is Run for services that do not end because their work failed: the failure is logged and the lease given back
// first, so that a healthier copy may take over, and after a pause this copy runs for it again. Only the end of ctx
// ends it.
func Campaign(ctx context.Context, c Config, hold func(context.Context) error) error {
	pauses := lifecycle.Pauses(firstPause, longestPause)
	for {
		var began time.Time
		err := Run(ctx, c, func(ctx context.Context) error {
			began = time.Now()
			return hold(ctx)
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !began.IsZero() && time.Since(began) > goneWell {
			pauses.Reset()
		}
		next := pauses.NextBackOff()
		c.Logger.WarnContext(ctx, "lease given up", slog.String("lease", c.Key), slog.String("owner", c.Owner),
			slog.Any("error", err), slog.Duration("retry_in", next))
		lifecycle.Pause(ctx, next)
	}
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	openPause    = time.Second // between tries to open the bucket
	goneWell     = time.Minute // work that lasted so long was not hopeless from the start
)

type holder struct {
	Config
	kv    jetstream.KeyValue // nil until the bus has answered
	taken time.Time          // when the request that took the lease was sent
}

// acquire waits until the lease is free and takes it.
func (h *holder) acquire(ctx context.Context) (uint64, error) {
	for {
		revision, err := h.take(ctx)
		if err == nil {
			h.Logger.InfoContext(ctx, "lease taken", slog.String("lease", h.Key), slog.String("owner", h.Owner))
			return revision, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			h.Logger.WarnContext(ctx, "lease not taken", slog.String("lease", h.Key), slog.Any("error", err))
		}
		h.waitFree(ctx)
	}
}

func (h *holder) take(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, h.TTL)
	defer cancel()
	if h.kv == nil {
		kv, err := h.JS.KeyValue(ctx, streams.BucketLeases)
		if err != nil {
			return 0, fmt.Errorf("open bucket %s: %w", streams.BucketLeases, err)
		}
		h.kv = kv
	}
	h.taken = time.Now()
	return h.kv.Create(ctx, h.Key, h.value())
}

func (h *holder) value() []byte {
	b, err := json.Marshal(streams.Lease{Version: streams.Version, Owner: h.Owner, Since: time.Now().UTC()})
	if err != nil {
		panic(fmt.Sprintf("encode lease: %v", err)) // strings and a time always encode
	}
	return b
}

// waitFree returns when the entry has gone, or after a TTL, whichever is first: should the notice be missed,
// the next try finds out.
func (h *holder) waitFree(ctx context.Context) {
	if h.kv == nil { // the bus is away, or being set up
		lifecycle.Pause(ctx, openPause)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, h.TTL)
	defer cancel()
	w, err := h.kv.Watch(ctx, h.Key, jetstream.MetaOnly())
	if err != nil {
		<-ctx.Done() // the bus is away; try again after a TTL
		return
	}
	defer func() { _ = w.Stop() }() // it is stopped already when the context has ended
	for {
		select {
		case <-ctx.Done():
			return
		case e, open := <-w.Updates():
			if !open || e != nil && e.Operation() != jetstream.KeyValuePut {
				return
			}
		}
	}
}

// serve runs hold while it renews the lease, and releases it when hold has returned.
func (h *holder) serve(ctx context.Context, revision uint64, hold func(context.Context) error) error {
	held, end := context.WithCancelCause(ctx)
	defer end(nil)
	done := make(chan error, 1)
	go func() { done <- hold(held) }()
	revision = h.renew(held, revision, done, end)
	err := <-done
	h.release(ctx, revision)
	if lost := errors.Is(context.Cause(held), ErrLost); lost && ctx.Err() == nil {
		h.Logger.WarnContext(ctx, "lease lost", slog.String("lease", h.Key), slog.String("owner", h.Owner))
		return nil
	}
	return err
}

// renew keeps the lease until hold returns or ctx ends, and ends hold when the lease is lost: when somebody else has
// it, or when a quarter of the TTL is left since the last renewal was sent, so that hold can end what it does before
// anybody else begins. It puts hold's outcome back for serve to read.
func (h *holder) renew(ctx context.Context, revision uint64, done chan error, end context.CancelCauseFunc) uint64 {
	every := h.TTL / renewals
	beat := time.NewTimer(lifecycle.UntilBeat(every))
	defer beat.Stop()
	deadline := h.taken.Add(h.TTL * 3 / 4)
	for {
		select {
		case err := <-done:
			done <- err
			return revision
		case <-ctx.Done():
			return revision
		case <-beat.C:
		}
		sent := time.Now()
		r, err := h.update(ctx, revision, deadline)
		switch {
		case err == nil:
			revision, deadline = r, sent.Add(h.TTL*3/4)
		case streams.IsStale(err) && h.mine(ctx, &revision) && time.Now().Before(deadline):
		case streams.IsStale(err) || !time.Now().Before(deadline):
			end(fmt.Errorf("lease %s: %w: %w", h.Key, ErrLost, err))
			return 0
		}
		beat.Reset(lifecycle.UntilBeat(every))
	}
}

// renewals is how often a lease is renewed within its TTL. One may fail.
const renewals = 3

// update renews the lease. When it cannot before the deadline it gives up then, and not later.
func (h *holder) update(ctx context.Context, revision uint64, deadline time.Time) (uint64, error) {
	ctx, giveUp := context.WithDeadline(ctx, deadline)
	defer giveUp()
	ctx, cancel := context.WithTimeout(ctx, h.TTL/4)
	defer cancel()
	return h.kv.Update(ctx, h.Key, h.value(), revision)
}

// mine tells whether the entry is this owner's after all, and its revision: a renewal may have arrived whose answer
// did not.
func (h *holder) mine(ctx context.Context, revision *uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, h.TTL/4)
	defer cancel()
	entry, err := h.kv.Get(ctx, h.Key)
	if err != nil {
		return false
	}
	var l streams.Lease
	if json.Unmarshal(entry.Value(), &l) != nil || l.Owner != h.Owner {
		return false
	}
	*revision = entry.Revision()
	return true
}

// release gives the lease back, so that another copy takes over at once. When it cannot, the entry expires.
func (h *holder) release(ctx context.Context, revision uint64) {
	if revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := h.kv.Delete(ctx, h.Key, jetstream.LastRevision(revision)); err != nil {
		h.Logger.DebugContext(ctx, "lease left to expire", slog.String("lease", h.Key), slog.Any("error", err))
	}
}
