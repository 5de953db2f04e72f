package sensors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/sensors"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.AsyncPublisher()) }

// start is when the tests' clocks begin: before any pack of theirs was installed.
var start = time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu      sync.Mutex // guards the fields below
	now     time.Time
	waiters map[chan time.Time]time.Time
	idle    *sync.Cond // somebody waits
}

func newClock() *fakeClock {
	c := &fakeClock{now: start, waiters: map[chan time.Time]time.Time{}}
	c.idle = sync.NewCond(&c.mu)
	return c
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) At(t time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := make(chan time.Time, 1)
	if !t.After(c.now) {
		due <- c.now
		return due, func() {}
	}
	c.waiters[due] = t
	c.idle.Broadcast()
	return due, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiters, due)
	}
}

// advance moves the clock when somebody waits for it, and returns when somebody does again.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.await()
	c.now = c.now.Add(d)
	for due, t := range c.waiters {
		if !t.After(c.now) {
			due <- c.now
			delete(c.waiters, due)
		}
	}
	c.await()
}

// await waits until somebody waits. Its caller holds mu.
func (c *fakeClock) await() {
	for len(c.waiters) == 0 {
		c.idle.Wait()
	}
}

// pass moves the clock while no service looks at it.
func (c *fakeClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type fixture struct {
	server *natsserver.Server
	bus    *bus.Bus
	db     *pgxpool.Pool
	clock  *fakeClock
}

func newFixture(t *testing.T, triggers ...pack.Trigger) *fixture {
	t.Helper()
	f := &fixture{server: natstest.Start(t), db: dbtest.New(t), clock: newClock()}
	f.bus = natstest.Connect(t, f.server)
	f.install(t, triggers...)
	return f
}

func (f *fixture) install(t *testing.T, triggers ...pack.Trigger) {
	t.Helper()
	digest := fmt.Sprintf("%064x", time.Now().UnixNano())
	p := pack.Pack{Name: "demo", Version: "1.0.0", Triggers: triggers}
	if _, err := definitions.New(f.db).Install(t.Context(), definitions.Installed{Pack: p, Digest: digest, Source: "test", By: "test"}); err != nil {
		t.Fatal(err)
	}
}

// run starts a copy and gives what stops it and waits.
func (f *fixture) run(t *testing.T, id string, b *bus.Bus) (stop func()) {
	t.Helper()
	s, err := sensors.New(sensors.Config{Bus: b, DB: f.db, ID: id, Logger: slog.New(slog.DiscardHandler), Clock: f.clock})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("sensors %s: %v", id, err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// awaitTimers returns when the record of a timer is there: the active copy has taken it over.
func (f *fixture) awaitTimers(t *testing.T, names ...string) {
	t.Helper()
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketTimers)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		w, err := kv.Watch(t.Context(), "demo."+name)
		if err != nil {
			t.Fatal(err)
		}
		for e := range w.Updates() {
			if e != nil && e.Operation() == jetstream.KeyValuePut {
				break
			}
		}
		if err := w.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitLeader returns when that copy holds the lease.
func (f *fixture) awaitLeader(t *testing.T, id string) {
	t.Helper()
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	w, err := kv.Watch(t.Context(), "sensors")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Stop() }()
	for e := range w.Updates() {
		if e != nil && strings.Contains(string(e.Value()), `"owner":"`+id+`"`) {
			return
		}
	}
}

// events gives the events published so far, as "name time".
func (f *fixture) events(t *testing.T) (all []string) {
	t.Helper()
	for _, e := range f.published(t) {
		all = append(all, strings.TrimPrefix(e.Trigger, "demo.")+" "+e.Time.Format("02 15:04:05"))
	}
	return all
}

func (f *fixture) published(t *testing.T) (all []event.Event) {
	t.Helper()
	s, err := f.bus.JS.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.FromMessage(event.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: m.Sequence, Time: m.Time})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func (f *fixture) expect(t *testing.T, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, f.events(t)); d != "" {
		t.Error(d)
	}
}

func every(name string, d time.Duration, policy pack.CatchUp) pack.Trigger {
	return pack.Trigger{Name: name, Timer: &pack.Timer{Every: pack.Duration(d), CatchUp: policy}}
}

func TestEveryTickIsAnEvent(t *testing.T) {
	t.Parallel()
	at := start.Add(90 * time.Second)
	f := newFixture(t,
		pack.Trigger{Name: "cron", Timer: &pack.Timer{Cron: "1 11 * * *", Timezone: "Europe/Berlin", Payload: json.RawMessage(`{"n":12345678901234567890}`)}},
		pack.Trigger{Name: "once", Timer: &pack.Timer{At: &at}},
		pack.Trigger{Name: "manual"},
		every("half", 30*time.Second, ""))
	f.run(t, "a", f.bus)
	f.awaitTimers(t, "cron", "once", "half")
	for range 8 {
		f.clock.advance(15 * time.Second)
	}
	got := map[string]int{}
	for _, e := range f.events(t) {
		got[e]++
	}
	want := map[string]int{"half 05 10:00:30": 1, "half 05 10:01:00": 1, "half 05 10:01:30": 1, "half 05 10:02:00": 1, "cron 05 10:01:00": 1, "once 05 10:01:30": 1}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, e := range f.published(t) {
		if e.Trigger != "demo.cron" {
			continue
		}
		if want := `{"n":12345678901234567890,"scheduled_at":"2026-01-05T10:01:00Z"}`; string(e.Payload) != want || e.Source != "timer:demo.cron" {
			t.Errorf("event %+v, payload %s", e, e.Payload)
		}
	}
}

func TestTicksWhileNothingRanFollowCatchUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, every("none", time.Minute, pack.CatchUpNone), every("last", time.Minute, pack.CatchUpLast), every("all", time.Minute, pack.CatchUpAll))
	stop := f.run(t, "a", f.bus)
	f.awaitTimers(t, "none", "last", "all")
	f.clock.advance(time.Minute)
	stop()
	f.clock.pass(3*time.Minute + 30*time.Second)
	f.run(t, "b", f.bus)
	f.clock.advance(0)
	f.clock.advance(30 * time.Second)
	byName := map[string][]string{}
	for _, e := range f.events(t) {
		name, at, _ := strings.Cut(e, " 05 ")
		byName[name] = append(byName[name], at)
	}
	want := map[string][]string{
		"none": {"10:01:00", "10:05:00"},
		"last": {"10:01:00", "10:04:00", "10:05:00"},
		"all":  {"10:01:00", "10:02:00", "10:03:00", "10:04:00", "10:05:00"},
	}
	if d := cmp.Diff(want, byName); d != "" {
		t.Error(d)
	}
}

func TestASuspendedMachineMissesTicks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, every("none", time.Hour, pack.CatchUpNone))
	f.run(t, "a", f.bus)
	f.awaitTimers(t, "none")
	f.clock.advance(5 * time.Hour / 2)
	f.clock.advance(time.Minute)
	f.expect(t)
	for range 29 {
		f.clock.advance(time.Minute)
	}
	f.expect(t, "none 05 13:00:00")
}

func TestAnotherSpecificationBeginsAnew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, every("t", time.Hour, pack.CatchUpAll))
	stop := f.run(t, "a", f.bus)
	f.awaitTimers(t, "t")
	stop()
	f.clock.pass(150 * time.Minute)
	f.install(t, every("t", time.Minute, pack.CatchUpAll))
	f.run(t, "b", f.bus)
	f.clock.advance(0)
	f.clock.advance(time.Minute)
	f.expect(t, "t 05 12:31:00")
}

func TestATimerThatIsRemovedIsForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, every("t", time.Minute, pack.CatchUpAll), every("u", time.Minute, pack.CatchUpNone))
	f.run(t, "a", f.bus)
	f.awaitTimers(t, "t", "u")
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketTimers)
	if err != nil {
		t.Fatal(err)
	}
	w, err := kv.Watch(t.Context(), "demo.t", jetstream.UpdatesOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Stop() }()
	f.install(t, every("u", time.Minute, pack.CatchUpNone))
	if e := <-w.Updates(); e.Operation() != jetstream.KeyValueDelete {
		t.Fatalf("record of demo.t: %v", e.Operation())
	}
	f.clock.advance(time.Minute)
	f.expect(t, "u 05 10:01:00")
}

// One of two copies loses its connection for good, so that the other takes over when the lease has expired.
// Ticks that both know of become one event.
func TestTheOtherCopyTakesOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, every("t", time.Minute, pack.CatchUpAll))
	first, err := bus.Connect(t.Context(), bus.Config{URL: f.server.URL(), CredsFile: f.server.CredsFile(), Name: "first", FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(context.Background())
	own := newClock() // the other's must not take this copy's wait for its own
	s, err := sensors.New(sensors.Config{Bus: first, DB: f.db, ID: "a", Logger: slog.New(slog.DiscardHandler), Clock: own})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	f.awaitTimers(t, "t")
	own.advance(time.Minute)
	f.clock.pass(time.Minute)
	f.run(t, "b", f.bus)
	first.Conn.Close()
	f.clock.pass(time.Minute)
	f.awaitLeader(t, "b")
	f.clock.advance(0)
	f.clock.advance(time.Minute)
	f.expect(t, "t 05 10:01:00", "t 05 10:02:00", "t 05 10:03:00")
	kill()
	<-done
}

// A tick that was published but not recorded, because its copy died in between, is not published again.
func TestATickIsPublishedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, every("t", time.Minute, pack.CatchUpAll))
	stop := f.run(t, "a", f.bus)
	f.awaitTimers(t, "t")
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketTimers)
	if err != nil {
		t.Fatal(err)
	}
	before, err := kv.Get(t.Context(), "demo.t")
	if err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Minute)
	stop()
	if _, err := kv.Put(t.Context(), "demo.t", before.Value()); err != nil {
		t.Fatal(err)
	}
	f.run(t, "b", f.bus)
	f.clock.advance(time.Minute)
	f.expect(t, "t 05 10:01:00", "t 05 10:02:00")
}
