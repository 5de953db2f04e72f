package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// patience is how long a test waits for the next thing to happen before it fails: far longer than anything takes on
// a busy machine.
const patience = 90 * time.Second

// world is a server with everything that a test watches.
type world struct {
	t       testing.TB
	server  *natsserver.Server // nil for a cluster
	connect func() *bus.Bus
	bus     *bus.Bus
	facts   *execution.Facts
	gates   []*gate

	mu      sync.Mutex // guards the fields below
	seen    []execution.Fact
	changed chan struct{} // closed at the next fact
}

func newWorld(t testing.TB) *world {
	t.Helper()
	server := natstest.Start(t)
	w := newWorldOn(t, func() *bus.Bus { return natstest.Connect(t, server) })
	w.server = server
	return w
}

func newWorldOn(t testing.TB, connect func() *bus.Bus) *world {
	t.Helper()
	b := connect()
	w := &world{t: t, connect: connect, bus: b, facts: execution.NewFacts(b.JS), changed: make(chan struct{})}
	c, err := b.JS.OrderedConsumer(t.Context(), streams.Executions, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	running, err := c.Consume(w.note)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { running.Stop(); <-running.Closed() })
	return w
}

func (w *world) note(m jetstream.Msg) {
	f, err := execution.ParseFact(m.Data())
	if err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, f)
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) history() []execution.Fact {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clip(w.seen)
}

// await waits until so many executions have succeeded.
func (w *world) await(n int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d to succeed", n), func(all []execution.Fact) bool {
		for _, f := range all {
			if f.Status == streams.Succeeded {
				n--
			}
		}
		return n <= 0
	})
}

// awaitStatus waits until an execution has had a status.
func (w *world) awaitStatus(id string, status streams.Status) execution.Fact {
	w.t.Helper()
	var found execution.Fact
	w.until(id+" "+string(status), func(all []execution.Fact) bool {
		for _, f := range all {
			if f.ID == id && f.Status == status {
				found = f
			}
		}
		return found.ID != ""
	})
	return found
}

// until waits until what is asked of the facts since the last question is true. It waits as long as facts come:
// how long ten thousand executions take is the disk's affair.
func (w *world) until(what string, ok func([]execution.Fact) bool) {
	w.t.Helper()
	from := 0
	for {
		w.mu.Lock()
		all, changed := w.seen[from:], w.changed
		from = len(w.seen)
		w.mu.Unlock()
		if ok(all) {
			return
		}
		select {
		case <-changed:
		case <-time.After(patience):
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// eventually asks again until the answer is yes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func testLogger() *slog.Logger {
	if os.Getenv("ATTUNE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// copyOf is a scheduler with a connection of its own.
type copyOf struct {
	*Scheduler
	stop func() // clean
	kill func() // as by kill -9: it says nothing more to the server
}

func quickPace(p *pace) {
	*p = pace{
		claim: 200 * time.Millisecond, unsent: 50 * time.Millisecond, orphan: 300 * time.Millisecond, visit: 100 * time.Millisecond,
		silence: 500 * time.Millisecond, newcomer: 200 * time.Millisecond, spool: 200 * time.Millisecond, recovery: 200 * time.Millisecond,
	}
}

// schedule starts a scheduler.
func (w *world) schedule(id string, change ...func(*Scheduler)) *copyOf {
	w.t.Helper()
	b := w.connect()
	s, err := New(Config{Bus: b, ID: id, Logger: testLogger().With(slog.String("copy", id))})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range change {
		c(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			w.t.Errorf("scheduler %s: %v", id, err)
		}
	}()
	stop := func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return &copyOf{Scheduler: s, stop: stop, kill: func() { b.Conn.Close(); stop() }}
}

func (w *world) awaitLeader(c *copyOf) {
	w.t.Helper()
	eventually(w.t, "a leader", func() bool { return c.leading.current.Load() != nil })
}

// request requests an execution and gives its id.
func (w *world) request(action, key string, limit int) string {
	w.t.Helper()
	id := execution.NewID()
	_, err := w.facts.Request(w.t.Context(), execution.Request{
		ID: id, Action: action, PackDigest: "d", Parameters: json.RawMessage(`{}`), Key: key, Limit: limit, Pool: streams.DefaultPool, By: "test",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) requestMany(n int, action string, limit int) []string {
	w.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = w.request(action, "", limit)
	}
	return ids
}

// checkHistory looks through all facts: each execution ran exactly once, those of a queue started in the order
// of their ids, and never more than limit of a queue ran at once.
func (w *world) checkHistory(limit int, ids []string) {
	w.t.Helper()
	place := map[string]int{}
	for i, id := range ids {
		place[id] = i
	}
	started, ended := map[string]bool{}, map[string]bool{}
	running, last := map[string]int{}, map[string]int{}
	for _, f := range w.history() {
		at, ours := place[f.ID]
		queue := f.Action + " " + f.Key
		switch {
		case !ours || f.Status == streams.Requested || f.Status == streams.Canceling:
		case f.Status == streams.Running:
			running[queue]++
			if running[queue] > limit {
				w.t.Errorf("%d of %q run at once, limit %d", running[queue], queue, limit)
			}
			if started[f.ID] {
				w.t.Errorf("execution %d started twice", at)
			}
			if before, ok := last[queue]; ok && before > at {
				w.t.Errorf("execution %d of %q started after %d", at, queue, before)
			}
			started[f.ID], last[queue] = true, at
		default:
			if started[f.ID] {
				running[queue]--
			}
			ended[f.ID] = true
		}
	}
	if len(ended) != len(ids) {
		w.t.Errorf("%d of %d executions ended", len(ended), len(ids))
	}
}

func (w *world) queueLength() uint64 {
	s, err := w.bus.JS.Stream(w.t.Context(), streams.Queue)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func (w *world) ask(subject string, request, reply any) {
	w.t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := w.bus.Conn.Request(subject, data, patience)
	if err != nil {
		w.t.Fatalf("ask %s: %v", subject, err)
	}
	if err := json.Unmarshal(m.Data, reply); err != nil {
		w.t.Fatal(err)
	}
}
