package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

var (
	// errChanged is the cause of an end because the sensor ought to run in another way.
	errChanged = errors.New("the sensor has changed")
	// errAgain is the cause of an end that a user asked for.
	errAgain = errors.New("a restart was asked for")
	// errUnwanted is the cause of an end because no enabled rule uses the sensor's triggers.
	errUnwanted = errors.New("no enabled rule uses its triggers")
	// errStopping is the cause of an end because the host stops.
	errStopping = errors.New("the host stops")
)

// failure is why a sensor cannot be started as it is.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

// tender has one sensor, from its claim to its release. Its goroutine ends when done is closed.
type tender struct {
	h      *Host
	log    *slog.Logger
	ref    pack.Ref
	record *record
	want   atomic.Pointer[want]
	change chan struct{} // holds a token when want is new
	again  chan struct{} // holds a token when a restart was asked for

	alive context.Context // ends when the sensor is not this host's any more: everything ends at once
	lose  context.CancelCauseFunc
	stay  context.Context // ends when the sensor is to be asked to end
	leave context.CancelCauseFunc
	done  chan struct{}

	failed string // set before done: the fingerprint of what could not be started; "" if it was not that
}

// tend takes a sensor whose entry is st at a revision, 0 when there is none.
func (h *Host) tend(lost context.Context, w *want, st streams.SensorState, revision uint64, ended func(*tender)) *tender {
	t := &tender{
		h: h, ref: w.ref, log: h.log.With(slog.String("sensor", w.ref.String())),
		change: make(chan struct{}, 1), again: make(chan struct{}, 1), done: make(chan struct{}),
	}
	t.want.Store(w)
	t.alive, t.lose = context.WithCancelCause(lost)
	t.stay, t.leave = context.WithCancelCause(context.WithoutCancel(lost))
	before := st.Owner
	st.Version, st.Sensor, st.Owner, st.Host, st.XKey = streams.Version, w.ref.String(), h.ID, h.Name, ""
	st.Status, st.PID, st.RetryAt, st.Error, st.PackDigest = streams.SensorStarting, 0, nil, "", w.digest
	if h.Secrets != nil {
		st.XKey = h.Secrets.PublicKey()
	}
	t.record = newRecord(h.kv, t.log, st, revision)
	go func() {
		defer ended(t)
		defer close(t.done)
		defer t.lose(nil)
		defer t.leave(nil)
		t.run(before)
	}()
	return t
}

func (t *tender) run(before string) {
	if err := t.claim(before); err != nil {
		t.log.DebugContext(t.alive, "sensor not taken", slog.Any(logging.Error, err))
		return
	}
	t.h.metrics.owned.Inc()
	defer t.h.metrics.owned.Dec()
	keeping, stop := context.WithCancel(t.alive)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		t.record.keep(keeping, t.lose)
	}()
	t.supervise()
	stop()
	<-kept
	t.release()
}

// claim makes this host the owner. Whoever owned the sensor before must have no lease any more.
func (t *tender) claim(before string) error {
	if before != "" && before != t.h.ID {
		ctx, cancel := context.WithTimeout(t.alive, writeTimeout)
		defer cancel()
		_, err := t.h.leases.Get(ctx, leaseOf(before))
		if err == nil {
			return fmt.Errorf("%w: %s", errElsewhere, before)
		}
		if !errors.Is(err, jetstream.ErrKeyNotFound) {
			return fmt.Errorf("lease of host %s: %w", before, err)
		}
	}
	t.record.count(func(*streams.SensorState) {})
	return t.record.write(t.alive)
}

// release gives the sensor to whoever wants it, unless it is another host's already.
func (t *tender) release() {
	if t.alive.Err() != nil {
		return
	}
	t.record.count(func(st *streams.SensorState) {
		st.Owner, st.PID, st.XKey = "", 0, ""
		switch {
		case t.failed != "":
		case errors.Is(context.Cause(t.stay), errUnwanted):
			st.Status, st.Error, st.RetryAt = streams.SensorIdle, "", nil
		default:
			st.Status, st.Error, st.RetryAt = streams.SensorStarting, "", nil
		}
	})
	if err := t.record.write(t.alive); err != nil {
		t.log.WarnContext(t.alive, "sensor not released", slog.Any(logging.Error, err))
	}
}

// supervise starts the sensor again and again, until it is to end or cannot be started.
func (t *tender) supervise() {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = t.h.Pace.FirstRetry, t.h.Pace.LastRetry, 2
	for {
		w, began := t.want.Load(), time.Now()
		err := t.start(w)
		var cannot *failure
		switch {
		case t.alive.Err() != nil || t.stay.Err() != nil:
			return
		case errors.Is(err, errChanged), errors.Is(err, errAgain):
			pauses.Reset()
			t.record.set(func(st *streams.SensorState) { st.Error = "" })
			continue
		case errors.As(err, &cannot):
			t.fail(w, err)
			return
		}
		if time.Since(began) >= t.h.Pace.Healthy {
			pauses.Reset()
		}
		if !t.rest(w, err, pauses.NextBackOff()) {
			return
		}
	}
}

// fail notes that the sensor cannot be started as it is. Another host may be able to.
func (t *tender) fail(w *want, err error) {
	t.failed = w.print
	retry := time.Now().Add(t.h.Pace.Failed).UTC()
	t.log.WarnContext(t.alive, "sensor cannot be started", slog.Any(logging.Error, err), slog.Time("retry_at", retry))
	t.record.set(func(st *streams.SensorState) {
		st.Status, st.Error, st.RetryAt, st.PID = streams.SensorFailed, err.Error(), &retry, 0
	})
}

// rest waits before the next start, and tells whether there is to be one.
func (t *tender) rest(w *want, why error, pause time.Duration) bool {
	retry := time.Now().Add(pause).UTC()
	t.log.WarnContext(t.alive, "sensor ended", slog.Any(logging.Error, why), slog.Duration("retry_in", pause))
	t.record.set(func(st *streams.SensorState) {
		st.Status, st.Error, st.RetryAt, st.PID = streams.SensorBackoff, why.Error(), &retry, 0
		st.Restarts++
	})
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-t.again:
			return true
		case <-t.change:
			if t.want.Load().print != w.print {
				return true
			}
		case <-t.stay.Done():
			return false
		case <-t.alive.Done():
			return false
		}
	}
}

// watch ends a start when the sensor ought to run in another way, or not any more.
func (t *tender) watch(ctx context.Context, w *want, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.alive.Done():
			end(context.Cause(t.alive))
		case <-t.stay.Done():
			end(context.Cause(t.stay))
		case <-t.again:
			end(errAgain)
		case <-t.change:
			if t.want.Load().print != w.print {
				end(errChanged)
			}
		}
	}
}

// become tells the tender how the sensor ought to run from now on.
func (t *tender) become(w *want) {
	if t.want.Swap(w).print == w.print {
		return
	}
	token(t.change)
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
