package sensor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// How often a state is written, and how long one write may take.
const (
	countersEvery = 2 * time.Second
	writeTimeout  = 2 * time.Second
)

// errElsewhere is returned when another host has taken the sensor.
var errElsewhere = errors.New("another host has this sensor")

// record is the entry of a sensor that this host owns. Every write of it compares and sets: a host that is not the
// owner any more finds out.
type record struct {
	kv  jetstream.KeyValue
	log *slog.Logger

	writing sync.Mutex // held while the entry is written; guards revision
	rev     uint64

	mu      sync.Mutex // guards the fields below
	state   streams.SensorState
	changed bool // since it was written last
	wake    chan struct{}
}

func newRecord(kv jetstream.KeyValue, log *slog.Logger, st streams.SensorState, rev uint64) *record {
	return &record{kv: kv, log: log, state: st, rev: rev, wake: make(chan struct{}, 1)}
}

// set changes the state, which is written soon.
func (r *record) set(change func(*streams.SensorState)) {
	r.count(change)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// count changes the state, which is written with the next regular write.
func (r *record) count(change func(*streams.SensorState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state)
	r.changed = true
}

func (r *record) now() streams.SensorState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// keep writes changes until ctx ends, and calls lost when the entry has become another host's.
func (r *record) keep(ctx context.Context, lost func(error)) {
	tick := time.NewTicker(countersEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-tick.C:
		}
		err := r.write(ctx)
		if errors.Is(err, errElsewhere) {
			lost(err)
			return
		}
		if err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "state of sensor not written", slog.Any(logging.Error, err))
		}
	}
}

// write writes the state if it has changed. It returns errElsewhere when the entry is another host's.
func (r *record) write(ctx context.Context) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	st, changed := r.take()
	if !changed {
		return nil
	}
	err := r.put(ctx, st)
	if streams.IsStale(err) || errors.Is(err, jetstream.ErrKeyExists) {
		if err = r.reread(ctx, st); err == nil {
			err = r.put(ctx, st)
		}
	}
	if err != nil {
		r.count(func(*streams.SensorState) {})
		return fmt.Errorf("state of sensor %s: %w", st.Sensor, err)
	}
	return nil
}

func (r *record) take() (streams.SensorState, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := r.changed
	r.changed = false
	r.state.At = time.Now().UTC()
	return r.state, changed
}

func (r *record) put(ctx context.Context, st streams.SensorState) error {
	data, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var rev uint64
	if r.rev == 0 {
		rev, err = r.kv.Create(ctx, st.Sensor, data)
	} else {
		rev, err = r.kv.Update(ctx, st.Sensor, data, r.rev)
	}
	if err == nil {
		r.rev = rev
	}
	return err
}

// reread finds out whether the entry is this host's after all: a write may have arrived whose answer did not.
func (r *record) reread(ctx context.Context, st streams.SensorState) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	entry, err := r.kv.Get(ctx, st.Sensor)
	if err != nil {
		return fmt.Errorf("%w: %w", errElsewhere, err)
	}
	there, err := parseState(entry.Value())
	if err != nil || there.Owner != st.Owner || there.XKey != st.XKey {
		return errElsewhere
	}
	r.rev = entry.Revision()
	return nil
}

func parseState(data []byte) (st streams.SensorState, err error) {
	if err = json.Unmarshal(data, &st); err == nil && st.Version > streams.Version {
		err = fmt.Errorf("version %d is not known", st.Version)
	}
	return st, err
}
