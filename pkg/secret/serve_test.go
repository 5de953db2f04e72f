package secret_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/streams"
)

const (
	packYAML   = "name: demo\nversion: 1.0.0\ndescription: For tests.\n"
	actionYAML = "description: For tests.\nruntime: shell\nentry_point: act.sh\nsecrets: [TOKEN, MISSING]\n"
)

// world is everything around one running execution.
type world struct {
	bus    *bus.Bus
	values secret.Values
	client *secret.Client
	facts  *execution.Facts
	state  execution.State

	strange atomic.Bool // nobody installed the pack
}

// inMemory are values for tests that are not about how they are stored.
type inMemory map[string][]byte

func (m inMemory) Values(_ context.Context, _ []secret.Owner, names []string) (map[string][]byte, error) {
	for _, n := range names {
		if _, ok := m[n]; !ok {
			return nil, fmt.Errorf("%s: %w", n, secret.ErrNotFound)
		}
	}
	return m, nil
}

func declared(names ...string) func() secret.Wanted {
	return func() secret.Wanted { return secret.Wanted{Declared: names} }
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, inMemory{"TOKEN": []byte(canary), "UNDECLARED": []byte(canary)})
}

func newWorldOf(t *testing.T, values secret.Values) *world {
	t.Helper()
	w := &world{bus: natstest.New(t), values: values}
	w.facts = execution.NewFacts(w.bus.JS)
	w.client = w.newRunner(t, "r1")
	digest := w.installPack(t)
	req, err := w.facts.Request(t.Context(), execution.Request{ID: execution.NewID(), Action: "demo.act", PackDigest: digest, Parameters: json.RawMessage("{}"), Pool: "default"})
	if err != nil {
		t.Fatal(err)
	}
	w.state = req.State
	w.serve(t)
	return w
}

func (w *world) newRunner(t *testing.T, name string) *secret.Client {
	t.Helper()
	c, err := secret.NewClient(w.bus.Conn)
	if err != nil {
		t.Fatal(err)
	}
	c.Patience = 300 * time.Millisecond
	w.heartbeat(t, name, c.PublicKey())
	return c
}

func (w *world) heartbeat(t *testing.T, name, key string) {
	t.Helper()
	kv, err := w.bus.JS.KeyValue(t.Context(), streams.BucketRunners)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(streams.RunnerInfo{Version: streams.Version, Name: name, XKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), name, data); err != nil {
		t.Fatal(err)
	}
}

func (w *world) installPack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{"pack.yaml": packYAML, "actions/act.yaml": actionYAML, "actions/act.sh": "#!/bin/sh\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	digest, archive, err := pack.Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.bus.PutObject(t.Context(), streams.ObjectsPacks, jetstream.ObjectMeta{Name: digest}, archive); err != nil {
		t.Fatal(err)
	}
	return digest
}

// Installed implements secret.Registry.
func (w *world) Installed(_ context.Context, pack, digest string) (bool, error) {
	return pack == "demo" && digest != "" && !w.strange.Load(), nil
}

func (w *world) serve(t *testing.T) {
	t.Helper()
	w.begin(t)
	w.awaitServer(t)
}

func (w *world) begin(t *testing.T) {
	t.Helper()
	packs := secret.NewPacks(w.bus.JS, w, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	config := secret.ServeConfig{Bus: w.bus, Values: w.values, Declarations: packs, Logger: slog.New(slog.DiscardHandler)}
	go func() { done <- secret.Serve(ctx, config) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("serve ended with %v", err)
		}
	})
}

// awaitServer returns when somebody answers.
func (w *world) awaitServer(t *testing.T) {
	t.Helper()
	for {
		_, err := w.bus.Conn.RequestWithContext(t.Context(), streams.RPCSecret, nil)
		if err == nil {
			return
		}
		if !errors.Is(err, nats.ErrNoResponders) {
			t.Fatal(err)
		}
	}
}

func (w *world) advance(t *testing.T, to streams.Status, runner string) {
	t.Helper()
	f := w.state.Fact
	f.Status, f.Runner, f.At = to, runner, time.Now()
	seq, err := w.facts.Append(t.Context(), w.state, f)
	if err != nil {
		t.Fatal(err)
	}
	w.state = execution.State{Fact: f, Sequence: seq}
}

func TestARunningExecutionGetsWhatItsActionDeclares(t *testing.T) {
	t.Parallel()
	store := open(t, dbtest.New(t), keyFile(t))
	set(t, store, "TOKEN", canary)
	set(t, store, "UNDECLARED", canary)
	w := newWorldOf(t, store)
	traffic := w.spy(t)
	w.advance(t, streams.Running, "r1")
	for range 2 {
		got, err := w.client.Fetch(t.Context(), w.state.ID, 1, declared("TOKEN"))
		if err != nil || len(got.Declared) != 1 || got.Declared["TOKEN"] != canary {
			t.Fatalf("fetch: %v, %v", got, err)
		}
	}
	if seen := traffic(); seen == "" || strings.Contains(seen, canary) {
		t.Errorf("the bus carried %q", seen)
	}
}

// A bus that is being set up, or does not answer, is waited for.
func TestSecretsAreServedOnceTheBusIsReady(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	if err := b.JS.DeleteKeyValue(t.Context(), streams.BucketConfigs); err != nil {
		t.Fatal(err)
	}
	asked, err := b.Conn.SubscribeSync("$JS.API.STREAM.INFO.KV_" + streams.BucketConfigs)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{bus: b, values: inMemory{}}
	w.begin(t)
	if _, err := asked.NextMsgWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := streams.Ensure(t.Context(), b.JS, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	w.awaitServer(t)
}

// held are values that are not given until somebody lets them go.
type held struct {
	inMemory
	asked chan struct{}
	let   chan struct{}
}

func (h held) Values(ctx context.Context, owners []secret.Owner, names []string) (map[string][]byte, error) {
	h.asked <- struct{}{}
	<-h.let
	return h.inMemory.Values(ctx, owners, names)
}

// More requests than the client library keeps cost those that are dropped an answer, and nothing else.
func TestAFloodOfRequestsEndsNobody(t *testing.T) {
	t.Parallel()
	const atOnce = 8 // are answered
	h := held{inMemory: inMemory{"TOKEN": []byte(canary)}, asked: make(chan struct{}, 100), let: make(chan struct{})}
	w := newWorldOf(t, h)
	running(t, w)
	w.client.Patience = time.Minute
	spy, err := w.bus.Conn.SubscribeSync(streams.RPCSecret)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func() error { _, err := w.client.Fetch(t.Context(), w.state.ID, 1, declared("TOKEN")); return err }
	fetched := make(chan error, 1)
	go func() { fetched <- fetch() }()
	request, err := spy.NextMsgWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flood := func(n int, data []byte) {
		for range n {
			if err := w.bus.Conn.PublishRequest(streams.RPCSecret, "nobody.hears", data); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.bus.Conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flood(2*atOnce, request.Data)
	for range atOnce {
		<-h.asked // all that answer are held up, and whoever takes requests with the next one
	}
	flood(nats.DefaultMaxChanLen+10, nil)
	close(h.let)
	if err := errors.Join(<-fetched, fetch()); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatWasAskedForIsGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // whose store gives more than it is asked for
	running(t, w)
	got, err := w.client.Fetch(t.Context(), w.state.ID, 1, declared("TOKEN"))
	if err != nil || len(got.Declared) != 1 || got.Declared["TOKEN"] != canary {
		t.Errorf("fetch: %v, %v", got, err)
	}
}

// spy gives all that the bus carries from now on.
func (w *world) spy(t *testing.T) func() string {
	t.Helper()
	all := make(chan *nats.Msg, 1000)
	sub, err := w.bus.Conn.ChanSubscribe(">", all)
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		var b strings.Builder
		if err := errors.Join(w.bus.Conn.Flush(), sub.Unsubscribe()); err != nil {
			t.Fatal(err)
		}
		for len(all) > 0 {
			m := <-all
			b.WriteString(m.Subject + " " + string(m.Data) + "\n")
		}
		return b.String()
	}
}

func TestNobodyElseGetsSecrets(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		before  func(t *testing.T, w *world)
		attempt int
		names   []string
		want    error
		says    string
	}{
		"not started":               {func(*testing.T, *world) {}, 1, []string{"TOKEN"}, secret.ErrRefused, "requested"},
		"ended":                     {ended, 1, []string{"TOKEN"}, secret.ErrRefused, "succeeded"},
		"being canceled":            {canceling, 1, []string{"TOKEN"}, secret.ErrRefused, "canceling"},
		"another attempt":           {running, 2, []string{"TOKEN"}, secret.ErrRefused, "attempt"},
		"a name not declared":       {running, 1, []string{"TOKEN", "UNDECLARED"}, secret.ErrRefused, "UNDECLARED"},
		"declared but never set":    {running, 1, []string{"TOKEN", "MISSING"}, secret.ErrRefused, "MISSING"},
		"a name that is none":       {running, 1, []string{"a b"}, secret.ErrRefused, "a b"},
		"runs on another runner":    {elsewhere, 1, []string{"TOKEN"}, secret.ErrRefused, "not sealed to this runner"},
		"its runner has no key":     {keyless, 1, []string{"TOKEN"}, secret.ErrUnavailable, ""},
		"its runner has no entry":   {vanished, 1, []string{"TOKEN"}, secret.ErrUnavailable, ""},
		"nobody installed its pack": {strange, 1, []string{"TOKEN"}, secret.ErrRefused, "was not installed"},
		"its pack is not available": {packless, 1, []string{"TOKEN"}, secret.ErrUnavailable, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tt.before(t, w)
			got, err := w.client.Fetch(t.Context(), w.state.ID, tt.attempt, declared(tt.names...))
			if got.Declared != nil || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("fetch: %v, %v", got, err)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("error shows the value: %v", err)
			}
		})
	}
}

// strange is what somebody did who may write to the object store, and named that pack in a fact.
func strange(t *testing.T, w *world) {
	t.Helper()
	running(t, w)
	w.strange.Store(true)
}

func running(t *testing.T, w *world) {
	t.Helper()
	w.advance(t, streams.Running, "r1")
}

func ended(t *testing.T, w *world) {
	t.Helper()
	running(t, w)
	w.advance(t, streams.Succeeded, "r1")
}

func canceling(t *testing.T, w *world) {
	t.Helper()
	running(t, w)
	w.advance(t, streams.Canceling, "r1")
}

func vanished(t *testing.T, w *world) {
	t.Helper()
	w.advance(t, streams.Running, "gone")
}

func keyless(t *testing.T, w *world) {
	t.Helper()
	w.heartbeat(t, "r1", "")
	running(t, w)
}

func elsewhere(t *testing.T, w *world) {
	t.Helper()
	w.newRunner(t, "r2")
	w.advance(t, streams.Running, "r2")
}

func packless(t *testing.T, w *world) {
	t.Helper()
	objects, err := w.bus.JS.ObjectStore(t.Context(), streams.ObjectsPacks)
	if err != nil {
		t.Fatal(err)
	}
	if err := objects.Delete(t.Context(), w.state.PackDigest); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		t.Fatal(err)
	}
	running(t, w)
}

func TestAnExecutionThatIsNotKnownGetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"0192f0c1-0000-7000-8000-000000000009", "", "*", "a.b", ">"} {
		if got, err := w.client.Fetch(t.Context(), id, 1, declared("TOKEN")); got.Declared != nil || !errors.Is(err, secret.ErrRefused) {
			t.Errorf("execution %q: %v, %v", id, got, err)
		}
	}
}

func TestWithoutAnybodyToAnswerSecretsAreUnavailable(t *testing.T) {
	t.Parallel()
	c, err := secret.NewClient(natstest.New(t).Conn)
	if err != nil {
		t.Fatal(err)
	}
	c.Patience = 100 * time.Millisecond
	if _, err := c.Fetch(t.Context(), "x", 1, declared("TOKEN")); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("fetch: %v", err)
	}
}

func TestRequestsThatAreNoneAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	running(t, w)
	for _, data := range []string{"", "null", "[]", "{", `{"v":2}`, `{"v":1,"execution":"x"}`, strings.Repeat("[", 100_000)} {
		m, err := w.bus.Conn.Request(streams.RPCSecret, []byte(data), time.Minute)
		if err != nil || !strings.Contains(string(m.Data), `"refused"`) || strings.Contains(string(m.Data), canary) {
			t.Errorf("request %.20q: %v", data, err)
		}
	}
}
