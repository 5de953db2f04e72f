// Package fleet knows which runners live, and which of them can run an action.
//
// It follows the runners' heartbeats, so asking it costs nothing. It guarantees that a runner counts from its first
// heartbeat to its last one's expiry, and that while the bus has not told yet who lives, nobody is said to be
// missing: ErrNoRunner is returned only on what was seen.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

// ErrNoRunner is matched by the error of Check when runners live in the pool and none of them fits.
var ErrNoRunner = errors.New("no runner can run it")

// errWatchEnded is returned when a watch ended without being told to.
var errWatchEnded = errors.New("watch ended")

// retryEvery is the pause after the heartbeats could not be followed.
const retryEvery = time.Second

// Fleet is the runners that live. Run must be running for it to know any.
type Fleet struct {
	js  jetstream.JetStream
	log *slog.Logger

	mu    sync.Mutex // guards the fields below
	known bool       // all who lived when Run began are among them
	all   map[string]streams.RunnerInfo
}

// New makes a fleet of which nothing is known yet.
func New(js jetstream.JetStream, log *slog.Logger) *Fleet {
	return &Fleet{js: js, log: log, all: map[string]streams.RunnerInfo{}}
}

// Now gives the fleet as it is, once.
func Now(ctx context.Context, js jetstream.JetStream, log *slog.Logger) (*Fleet, error) {
	f := New(js, log)
	w, err := bus.Watch(ctx, js, streams.BucketRunners, jetstream.AllKeys, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Stop() }() // it was for one reading
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read bucket %s: %w", streams.BucketRunners, context.Cause(ctx))
		case e, open := <-w.Updates():
			switch {
			case !open:
				return nil, fmt.Errorf("read bucket %s: %w", streams.BucketRunners, errWatchEnded)
			case e == nil:
				f.known = true
				return f, nil
			}
			f.note(ctx, f.all, e)
		}
	}
}

// Run follows the heartbeats until ctx ends. While the bus is away what was known last stays.
func (f *Fleet) Run(ctx context.Context) error {
	for {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f.log.WarnContext(ctx, "runners not followed", slog.Any(logging.Error, err), slog.Duration("retry_in", retryEvery))
		timer := time.NewTimer(retryEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (f *Fleet) follow(ctx context.Context) error {
	w, err := bus.Watch(ctx, f.js, streams.BucketRunners, jetstream.AllKeys)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }() // it has ended by itself when its context has
	first := map[string]streams.RunnerInfo{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, open := <-w.Updates():
			switch {
			case !open:
				return fmt.Errorf("watch bucket %s: %w", streams.BucketRunners, errWatchEnded)
			case e == nil: // all there was: those who died meanwhile are not among them
				f.replace(first)
				first = nil
			case first != nil:
				f.note(ctx, first, e)
			default:
				f.mu.Lock()
				f.note(ctx, f.all, e)
				f.mu.Unlock()
			}
		}
	}
}

func (f *Fleet) replace(all map[string]streams.RunnerInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all, f.known = all, true
}

func (f *Fleet) note(ctx context.Context, all map[string]streams.RunnerInfo, e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		delete(all, e.Key())
		return
	}
	var info streams.RunnerInfo
	if err := json.Unmarshal(e.Value(), &info); err != nil || info.Version > streams.Version {
		f.log.WarnContext(ctx, "heartbeat cannot be read", slog.String(logging.Runner, e.Key()), slog.Any(logging.Error, err))
		return
	}
	all[e.Key()] = info
}

// Living gives the runners that live in the order of their names, and whether all of them are known.
func (f *Fleet) Living() (runners []streams.RunnerInfo, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(f.all)) {
		runners = append(runners, f.all[name])
	}
	return runners, f.known
}

// Check returns an error that matches ErrNoRunner, and says what each runner of the pool is missing, when none of
// them can run what has this placement. While no runner lives in the pool it returns nil: one may be starting.
func (f *Fleet) Check(p streams.Placement) error {
	runners, known := f.Living()
	if !known {
		return nil
	}
	var lacking []string
	for _, r := range runners {
		if r.Pool != p.Pool {
			continue
		}
		missing := placement.Missing(p, r)
		if len(missing) == 0 {
			return nil
		}
		lacking = append(lacking, r.Name+" lacks "+placement.Describe(missing))
	}
	if len(lacking) == 0 {
		return nil
	}
	return fmt.Errorf("%w: of pool %s %s", ErrNoRunner, p.Pool, strings.Join(lacking, "; "))
}
