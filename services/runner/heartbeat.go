package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// errGivenUp means that the runner could not renew its entry in time: others may call it lost.
var errGivenUp = errors.New("runner could not renew its entry in time")

// tenure is a time in which the runner's entry was never too old.
type tenure struct {
	lost chan struct{} // closed when it is over
	once sync.Once
}

func newTenure() *tenure { return &tenure{lost: make(chan struct{})} }

func (t *tenure) end() { t.once.Do(func() { close(t.lost) }) }

func (t *tenure) over() bool {
	select {
	case <-t.lost:
		return true
	default:
		return false
	}
}

func (r *Runner) currentTenure() *tenure {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tenure == nil {
		r.tenure = newTenure()
		r.tenure.end() // before the first heartbeat there is none
	}
	return r.tenure
}

func (r *Runner) setTenure(t *tenure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tenure = t
}

// beat renews the runner's entry until the returned function is called, which removes it. The first renewal
// is done when beat returns, unless the bus is away.
func (r *Runner) beat(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	b := &heart{r: r}
	b.renew(ctx)
	var done sync.WaitGroup
	done.Go(func() { b.loop(ctx) })
	return func() {
		cancel()
		done.Wait()
		b.remove(context.WithoutCancel(ctx), r.place.name)
	}
}

// heart renews the entry. Only its own goroutine uses it.
type heart struct {
	r       *Runner
	kv      jetstream.KeyValue
	renewed time.Time // when the last successful renewal began
}

func (b *heart) loop(ctx context.Context) {
	beat := time.NewTimer(lifecycle.UntilBeat(streams.RunnerHeartbeat))
	defer beat.Stop()
	for {
		over := time.NewTimer(time.Until(b.renewed.Add(streams.RunnerGiveUp)))
		select {
		case <-ctx.Done():
			over.Stop()
			return
		case <-over.C:
			b.giveUp(ctx)
			b.renew(ctx)
			lifecycle.Pause(ctx, retryEvery)
		case <-beat.C:
			b.renew(ctx)
			beat.Reset(lifecycle.UntilBeat(streams.RunnerHeartbeat))
		}
		over.Stop()
	}
}

// giveUp kills what runs: others may say by now that it is lost.
func (b *heart) giveUp(ctx context.Context) {
	if t := b.r.currentTenure(); !t.over() {
		b.r.log.ErrorContext(ctx, "entry not renewed in time, killing what runs", slog.Time("renewed", b.renewed))
		t.end()
	}
}

// renew writes the entry. One that comes after the time is over ends the old tenure and begins a new one.
func (b *heart) renew(ctx context.Context) {
	began := time.Now()
	if !b.renewed.IsZero() && began.Sub(b.renewed) > streams.RunnerGiveUp {
		b.giveUp(ctx)
	}
	if err := b.put(ctx); err != nil {
		if ctx.Err() == nil {
			b.r.log.WarnContext(ctx, "entry not renewed", slog.Any(logging.Error, err))
		}
		return
	}
	b.renewed = began
	if b.r.currentTenure().over() {
		b.r.setTenure(newTenure())
	}
}

func (b *heart) put(ctx context.Context) error {
	limit := streams.RunnerHeartbeat
	if left := time.Until(b.renewed.Add(streams.RunnerGiveUp)); left > 0 {
		limit = min(limit, left)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	kv, err := b.bucket(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(b.r.info())
	if err != nil {
		return fmt.Errorf("encode entry: %w", err)
	}
	_, err = kv.Put(ctx, b.r.place.name, data)
	return err
}

func (b *heart) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	if b.kv == nil {
		kv, err := b.r.Bus.JS.KeyValue(ctx, streams.BucketRunners)
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", streams.BucketRunners, err)
		}
		b.kv = kv
	}
	return b.kv, nil
}

// remove tells others at once that a runner has gone. When it cannot, the entry expires.
func (b *heart) remove(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, streams.RunnerHeartbeat)
	defer cancel()
	kv, err := b.bucket(ctx)
	if err == nil {
		err = kv.Delete(ctx, name)
	}
	if err != nil {
		b.r.log.DebugContext(ctx, "entry left to expire", slog.Any(logging.Error, err))
	}
}

func (r *Runner) info() streams.RunnerInfo {
	host, _ := os.Hostname() // it is only shown
	i := streams.RunnerInfo{
		Version: streams.Version, Name: r.place.name, Pool: r.Pool, Slots: r.Slots, Running: int(r.running.Load()),
		Draining: r.draining.Load(), Installs: true, Runtimes: r.machine.runtimes(), Labels: r.Labels, StartedAt: r.started, Seen: now(), Build: r.Build, Host: host, PID: os.Getpid(),
	}
	i.Spares, _ = r.spares.Count()
	for _, f := range r.sandbox.Features() {
		i.Isolation = append(i.Isolation, streams.IsolationFeature{Name: f.Name, Active: f.Active, Detail: f.Detail})
	}
	if r.Secrets != nil {
		i.XKey = r.Secrets.PublicKey()
	}
	return i
}
