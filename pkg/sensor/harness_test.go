package sensor_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/sensor"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, natstest.AsyncPublisher(), natstest.CanceledGet())
}

// patience bounds every wait: it says that something hangs, not how fast it ought to be.
const patience = time.Minute

// world is a bus and a database, with one pack.
type world struct {
	server *natsserver.Server
	bus    *bus.Bus
	db     *pgxpool.Pool
	store  *definitions.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{server: natstest.Start(t), db: dbtest.New(t)}
	w.bus, w.store = natstest.Connect(t, w.server), definitions.New(w.db)
	return w
}

var watch = pack.Ref{Pack: "demo", Name: "watch"}

// demo is a pack whose sensor watch is a script, with a rule for its trigger note.
func demo(script string, more map[string]string) map[string]string {
	files := map[string]string{
		"pack.yaml":          "name: demo\nversion: 1.0.0\ndescription: For tests.\nconfig: {type: object, properties: {text: {type: string}}}\n",
		"triggers/note.yaml": "description: For tests.\n",
		"triggers/rare.yaml": "description: For tests.\n",
		"actions/act.yaml":   "description: For tests.\nruntime: shell\nentry_point: act.sh\n",
		"actions/act.sh":     "true\n",
		"rules/act.yaml":     "trigger: note\naction: act\nwhen: event.payload.n > 1\n",
		"sensors/watch.yaml": "description: For tests.\nruntime: shell\nentry_point: watch.sh\ntriggers: [note, rare]\nconfig: {text: plain, n: 12345678901234567890}\n",
		"sensors/watch.sh":   script,
	}
	maps.Copy(files, more)
	return files
}

func (w *world) install(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, err := pack.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	digest, archive, err := pack.Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.bus.PutObject(t.Context(), streams.ObjectsPacks, jetstream.ObjectMeta{Name: digest}, archive); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Install(t.Context(), definitions.Installed{Pack: p, Digest: digest, Source: "test", By: "test"}); err != nil {
		t.Fatal(err)
	}
}

// host runs a host of that id on a bus, and gives what stops it and waits.
func (w *world) host(t *testing.T, id string, b *bus.Bus, change func(*sensor.Config)) (stop func()) {
	t.Helper()
	c := sensor.Config{
		Bus: b, ID: id, Name: "machine-" + id, DataDir: t.TempDir(), Grace: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Environments: sensor.Environments{Path: "/usr/bin:/bin"},
		Pace:         sensor.Pace{FirstRetry: 20 * time.Millisecond, LastRetry: 200 * time.Millisecond, Secrets: 100 * time.Millisecond},
	}
	if change != nil {
		change(&c)
	}
	t.Cleanup(func() {
		if err := environment.RemoveAll(c.DataDir); err != nil { // t.TempDir cannot, for an ordinary user: packs are read-only
			t.Error(err)
		}
	})
	h, err := sensor.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.store.Watch(ctx, c.Logger, h.Learn) })
	running.Go(func() {
		if err := h.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("host %s: %v", id, err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// await returns the state of a sensor as soon as it is as wanted.
func (w *world) await(t *testing.T, ref pack.Ref, what string, is func(streams.SensorState) bool) streams.SensorState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kv, err := w.bus.JS.KeyValue(ctx, streams.BucketSensors)
	if err != nil {
		t.Fatal(err)
	}
	all, err := kv.Watch(ctx, ref.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = all.Stop() }()
	var last streams.SensorState
	for {
		select {
		case e := <-all.Updates():
			if e == nil || len(e.Value()) == 0 {
				continue
			}
			last = streams.SensorState{}
			if err := json.Unmarshal(e.Value(), &last); err != nil {
				t.Fatal(err)
			}
			if is(last) {
				return last
			}
		case <-ctx.Done():
			t.Fatalf("%s is not %s: %+v", ref, what, last)
		}
	}
}

func running(owner string) func(streams.SensorState) bool {
	return func(st streams.SensorState) bool {
		return st.Status == streams.SensorRunning && (owner == "" || st.Owner == owner)
	}
}

// events gives events as they are published, from the first.
func (w *world) events(t *testing.T) <-chan event.Event {
	t.Helper()
	c, err := w.bus.JS.OrderedConsumer(t.Context(), streams.Events, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan event.Event, 100_000)
	consuming, err := c.Consume(func(m jetstream.Msg) {
		msg, err := event.FromJetStream(m)
		if err != nil {
			t.Error(err)
			return
		}
		e, err := event.FromMessage(msg)
		if err != nil {
			t.Error(err)
		}
		out <- e
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { consuming.Stop(); <-consuming.Closed() })
	return out
}

func next(t *testing.T, events <-chan event.Event) event.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(patience):
		t.Fatal("no event comes")
		return event.Event{}
	}
}

// log gives what the log of one start says.
func (w *world) log(t *testing.T, id string) string {
	t.Helper()
	s, err := logs.Open(t.Context(), logs.Config{Bus: w.bus})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for c, err := range s.Read(t.Context(), logs.Request{Execution: id, Stream: logs.Stderr}) {
		if err != nil {
			t.Fatal(err)
		}
		b.Write(c.Text())
	}
	return b.String()
}
