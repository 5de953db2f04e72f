package streams_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

var update = flag.Bool("update", false, "write the golden files anew")

func newJetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestEnsureMakesWhatCheckWantsAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	ctx, js := context.Background(), newJetStream(t)
	if err := streams.Check(ctx, js); !errors.Is(err, streams.ErrNotReady) {
		t.Fatalf("check before ensure: %v", err)
	}
	for range 2 {
		if err := streams.Ensure(ctx, js, streams.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := streams.Check(ctx, js); err != nil {
		t.Fatal(err)
	}
}

// Every subject that a builder makes is stored by exactly one stream, the one that it belongs to.
func TestEverySubjectHasItsStream(t *testing.T) {
	t.Parallel()
	ctx, js := context.Background(), newJetStream(t)
	if err := streams.Ensure(ctx, js, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	for want, subject := range everySubject(t) {
		ack, err := js.Publish(ctx, subject, nil)
		if err != nil {
			t.Errorf("publish %s: %v", subject, err)
			continue
		}
		if stream, _, _ := strings.Cut(want, " "); ack.Stream != stream {
			t.Errorf("%s is stored by %s, want %s", subject, ack.Stream, stream)
		}
	}
}

func everySubject(t *testing.T) map[string]string {
	t.Helper()
	must := func(s string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return map[string]string{
		streams.Events:           must(streams.EventSubject("core", "timer")),
		streams.Decisions:        must(streams.DecisionSubject("core", "timer", "e1")),
		streams.Executions:       must(streams.ExecutionSubject("core", "echo", "x1")),
		streams.Queue:            must(streams.QueueSubject("core", "echo", "web 1.*>", "x1")),
		streams.Runs:             must(streams.RunSubject("default", "x1")),
		streams.Runs + " leader": streams.LeaderSubject,
		streams.Queue + " mark":  streams.BarrierSubject(7),
		streams.Logs:             must(streams.LogSubject("x1", "stdout")),
	}
}

// Every stream that hands out work has a consumer for what Ensure knows of.
func TestWorkQueueHasAConsumer(t *testing.T) {
	t.Parallel()
	ctx, js := context.Background(), newJetStream(t)
	if err := streams.Ensure(ctx, js, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range streams.Declared(streams.Options{}) {
		if c.Retention != jetstream.WorkQueuePolicy {
			continue
		}
		s, err := js.Stream(ctx, c.Name)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.CachedInfo().State.Consumers; n == 0 {
			t.Errorf("%s is a work queue without a consumer", c.Name)
		}
	}
}

// A consumer of an earlier version lets runners ask for too little; the server cannot change that in place.
func TestAPoolsConsumerIsMadeAnewForMoreRunners(t *testing.T) {
	t.Parallel()
	ctx, js := context.Background(), newJetStream(t)
	if err := streams.Ensure(ctx, js, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	name, _ := streams.PoolConsumer(streams.DefaultPool)
	if err := js.DeleteConsumer(ctx, streams.Runs, name); err != nil {
		t.Fatal(err)
	}
	c, err := streams.PoolConsumerConfig(streams.DefaultPool)
	if err != nil {
		t.Fatal(err)
	}
	wanted := c.MaxWaiting
	c.MaxWaiting = 512
	if _, err := js.CreateConsumer(ctx, streams.Runs, c); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := streams.Ensure(ctx, js, streams.Options{}); err != nil {
			t.Fatal(err)
		}
		made, err := js.Consumer(ctx, streams.Runs, name)
		if err != nil || made.CachedInfo().Config.MaxWaiting != wanted {
			t.Fatalf("%+v, %v", made.CachedInfo().Config, err)
		}
	}
}

func TestQueueKeepsOneMessagePerExecution(t *testing.T) {
	t.Parallel()
	ctx, js := context.Background(), newJetStream(t)
	if err := streams.Ensure(ctx, js, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	subject, _ := streams.QueueSubject("core", "echo", "", "x1")
	if _, err := js.Publish(ctx, subject, nil); err != nil {
		t.Fatal(err)
	}
	_, err := js.Publish(ctx, subject, nil)
	if !streams.IsDuplicate(err) {
		t.Fatalf("second message on %s: %v, want a refusal", subject, err)
	}
}

func TestTokensThatMeanSomethingInSubjectsAreRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", ".", "a.b", "*", ">", "a b", "a\tb", "a\x00", "héh", strings.Repeat("a", 129)} {
		if s, err := streams.EventSubject("core", bad); !errors.Is(err, streams.ErrBadToken) {
			t.Errorf("EventSubject(core, %q) = %q, %v", bad, s, err)
		}
	}
}

func FuzzSubjectsComeApartAsTheyWereBuilt(f *testing.F) {
	f.Add("core", "echo", "web1.example", "0192")
	f.Add("a*", "b>", "", "c.d")
	f.Fuzz(func(t *testing.T, pack, action, key, id string) {
		s, err := streams.QueueSubject(pack, action, key, id)
		if err != nil {
			return
		}
		p, a, k, i, err := streams.QueueTokens(s)
		if err != nil || p != pack || a != action || i != id || k != streams.KeyToken(key) {
			t.Fatalf("%q came apart as %q %q %q %q: %v", s, p, a, k, i, err)
		}
		if _, err := streams.Token(k); err != nil {
			t.Fatalf("key %q has the token %q: %v", key, k, err)
		}
	})
}

func TestAMarkInQueueTellsItsEpoch(t *testing.T) {
	t.Parallel()
	if epoch, ok := streams.BarrierEpoch(streams.BarrierSubject(7)); !ok || epoch != 7 {
		t.Errorf("epoch %d, %v", epoch, ok)
	}
	queued, err := streams.QueueSubject("core", "echo", "", "x1")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := streams.BarrierEpoch(queued); ok {
		t.Error("an execution was taken for a mark")
	}
}

func TestKeysThatDifferHaveTokensThatDiffer(t *testing.T) {
	t.Parallel()
	keys := []string{"", "_", "a", "a.b", "a*b", "=YQ", "~x", strings.Repeat("k", 61), strings.Repeat("k", 62), "ä"}
	seen := map[string]string{}
	for _, k := range keys {
		if other, dup := seen[streams.KeyToken(k)]; dup {
			t.Errorf("keys %q and %q share the token %q", k, other, streams.KeyToken(k))
		}
		seen[streams.KeyToken(k)] = k
	}
}

// The wire form of every message is pinned: a change shows here before it meets an older service.
func TestMessagesMatchTheirGoldenFiles(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 123000000, time.UTC)
	code := 1
	messages := map[string]any{
		"fact_requested": streams.Fact{Version: 1, ID: "x1", Action: "core.echo", PackDigest: "sha256-ab", Status: streams.Requested, Attempt: 1, At: at, RequestedAt: at, RequestedBy: "rule", Key: "web1", Limit: 2, Pool: "default", Rule: "core.r", Event: "e1", Parameters: json.RawMessage(`{"message":"hi"}`)},
		"fact_failed":    streams.Fact{Version: 1, ID: "x1", Action: "core.echo", PackDigest: "sha256-ab", Status: streams.Failed, Attempt: 1, At: at, RequestedAt: at, Pool: "default", Runner: "r1", StartedAt: &at, EndedAt: &at, ExitCode: &code, Error: &streams.Error{Class: streams.ClassExitStatus, Message: "exit status 1"}, Output: &streams.Output{StdoutBytes: 3, Truncated: true, Dropped: 1, LogBytes: 40, StoredBytes: 300, Incomplete: true}},
		"run":            streams.Run{Version: 1, ID: "x1", Action: "core.echo", Attempt: 1},
		"decision":       streams.Decision{Version: 1, EventID: "e1", EventSeq: 7, Trigger: "core.t", At: at, Status: streams.EventDecided, Rules: []streams.RuleDecision{{Rule: "core.r", Outcome: streams.Matched, Execution: "x1", Action: "core.echo"}, {Rule: "core.q", Outcome: streams.NotMatched, Reason: "event.payload.a == 1 is false"}}},
		"runner":         streams.RunnerInfo{Version: 1, Name: "r1", Pool: "default", Slots: 8, Running: 1, Runtimes: []streams.Runtime{{Name: "python", Version: "3.11.7", Path: "/usr/bin/python3"}}, XKey: "XABC", StartedAt: at, Seen: at, Build: "0.1.0", Host: "h", PID: 1, Isolation: []streams.IsolationFeature{{Name: "files", Active: true, Detail: "landlock ABI 7"}, {Name: "users"}}},
		"lease":          streams.Lease{Version: 1, Owner: "s1", Since: at},
		"fact_next_attempt": streams.Fact{
			Version: 1, ID: "x1", Action: "core.echo", PackDigest: "sha256-ab", Status: streams.Requested, Attempt: 2, At: at, RequestedAt: at, Pool: "default",
			Admission: streams.Admission{Priority: streams.PriorityLow, PackLimit: 4, Rate: "10/m", QueueTimeoutSeconds: 60, Reject: true},
			Retry:     &streams.Retry{Attempts: 3, DelaySeconds: 1.5, Backoff: 2, MaxDelaySeconds: 60, Jitter: 0.1, On: []streams.Status{streams.Failed}, Hold: true},
			NotBefore: &at, Previous: []streams.Attempt{{Attempt: 1, Status: streams.Failed, Runner: "r1", StartedAt: &at, EndedAt: &at, ExitCode: &code, Error: &streams.Error{Class: streams.ClassExitStatus, Message: "exit status 1"}}},
		},
		"queue_control":     streams.QueueControl{Version: 1, Paused: true, By: "admin", At: at},
		"queue_control_all": streams.QueueControl{Version: 1, Paused: true, PausedUntil: &at, Draining: true, DrainAfter: 7, Limit: 3, By: "admin", At: at},
		"once":              streams.Once{Version: 1, Event: "e1", Execution: "x1", At: at},
		"rate_state":        streams.RateState{Version: 1, FullAt: at},
		"install":           streams.Install{Version: 1, Pack: "github", PackVersion: "1.2.0", Digest: "d1", Pools: []string{"default"}, Generation: 1, RequestedAt: at},
		"environment": streams.Environment{
			Version: 1, Pack: "github", PackVersion: "1.2.0", Digest: "d1", Generation: 1, Runner: "r1", Pool: "default", Host: "web1",
			Status: streams.InstallError, StartedAt: at, Error: "pip: exit status 1", Tail: []string{"no matching distribution"}, Log: "install-d1-r1-1",
			Missing:  []streams.Missing{{Runtime: "node", Want: ">=20", Have: []string{"18.20.8"}}, {Label: "zone", Want: "eu"}},
			Runtimes: []streams.Runtime{{Name: "python", Version: "3.11.2", Path: "/usr/bin/python3"}},
		},
		"placement": streams.Placement{Version: 1, Pool: "default", Runtimes: map[string]string{"python": ">=3.9"}, Labels: streams.Labels{"zone": "eu"}},
		"sensor_state": streams.SensorState{
			Version: 1, Sensor: "file.watcher", PackDigest: "d1", Status: streams.SensorRunning, Host: "web1", Owner: "c1", PID: 7, At: at, StartedAt: &at,
			Restarts: 2, Events: 5, LastEventAt: &at, Log: "sensor-1", XKey: "X1",
		},
	}
	for name, m := range messages {
		compareGolden(t, name, m)
	}
}

func compareGolden(t *testing.T, name string, m any) {
	t.Helper()
	got, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from its golden file:\n%s", name, cmp.Diff(string(want), string(got)))
	}
}

func TestEntrySubject(t *testing.T) {
	t.Parallel()
	key := streams.OnceKey("web.page", "a.b.*")
	if got, err := streams.EntrySubject(streams.BucketOnce, key); err != nil || got != "$KV.ONCE."+key {
		t.Errorf("subject is %q, %v", got, err)
	}
	for _, key := range []string{"", "a.b", "a*", "a b"} {
		if got, err := streams.EntrySubject(streams.BucketOnce, key); !errors.Is(err, streams.ErrBadToken) {
			t.Errorf("%q has the subject %q, %v", key, got, err)
		}
	}
}

// A bucket that the library made, as installations before have it, learns to take atomic batches and keeps its objects.
func TestBucketsOfEarlierInstallationsTakeBatches(t *testing.T) {
	t.Parallel()
	js := newJetStream(t)
	old, err := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: streams.ObjectsLogs, Description: "old"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.PutString(t.Context(), "a/b", "kept"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := streams.Ensure(t.Context(), js, streams.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := js.Stream(t.Context(), "OBJ_"+streams.ObjectsLogs)
	if err != nil || !s.CachedInfo().Config.AllowAtomicPublish {
		t.Fatalf("%+v, %v", s, err)
	}
	if got, err := old.GetString(t.Context(), "a/b"); err != nil || got != "kept" {
		t.Errorf("%q, %v", got, err)
	}
}

// Whoever has the library make the bucket gets the same one but for how soon an embedded server has it on disk.
func TestTheBucketOfLeasesIsTheLibrarysButForItsPersistence(t *testing.T) {
	t.Parallel()
	for _, embedded := range []bool{false, true} {
		ctx, js := context.Background(), newJetStream(t)
		if err := streams.Ensure(ctx, js, streams.Options{Embedded: embedded}); err != nil {
			t.Fatal(err)
		}
		ours := leasesOf(t, js)
		if err := js.DeleteKeyValue(ctx, streams.BucketLeases); err != nil {
			t.Fatal(err)
		}
		for _, c := range streams.DeclaredBuckets(streams.Options{}) {
			if _, err := js.CreateOrUpdateKeyValue(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		want := leasesOf(t, js)
		if embedded {
			want.PersistMode = jetstream.AsyncPersistMode
		}
		want.Metadata, ours.Metadata = nil, nil // what the server says of itself
		if diff := cmp.Diff(want, ours); diff != "" {
			t.Errorf("embedded %v: the bucket (-want +got):\n%s", embedded, diff)
		}
	}
}

func TestABucketOfLeasesKeepsThePersistenceThatItHas(t *testing.T) {
	t.Parallel()
	for _, mode := range []jetstream.PersistModeType{jetstream.DefaultPersistMode, jetstream.AsyncPersistMode} {
		ctx, js := context.Background(), newJetStream(t)
		if mode == jetstream.DefaultPersistMode { // as installations had it
			if _, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: streams.BucketLeases, TTL: streams.LeaseTTL, LimitMarkerTTL: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := streams.Ensure(ctx, js, streams.Options{Embedded: true}); err != nil {
				t.Fatal(err)
			}
			if got := leasesOf(t, js).PersistMode; got != mode {
				t.Errorf("persist mode is %v, want %v", got, mode)
			}
		}
	}
}

func leasesOf(t *testing.T, js jetstream.JetStream) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(context.Background(), "KV_"+streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}
