package installer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tolerance = 30 * time.Second

// world is a real NATS server and a real database, with installers and puppets in the place of runners.
type world struct {
	t     *testing.T
	bus   *bus.Bus
	db    *pgxpool.Pool
	link  *dbtest.Link
	store *definitions.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, link := dbtest.NewLinked(t)
	return &world{t: t, bus: natstest.New(t), db: db, link: link, store: definitions.New(db)}
}

// start runs an installer until the test ends or stop is called.
func (w *world) start(change ...func(*Config)) (stop func()) {
	w.t.Helper()
	c := Config{
		Bus: w.bus, DB: w.db, ID: rand6(), Every: 200 * time.Millisecond, Settle: 200 * time.Millisecond,
		TempDir: w.t.TempDir(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
	for _, apply := range change {
		apply(&c)
	}
	i, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- i.Run(ctx) }()
	go func() { done <- w.store.Watch(ctx, c.Logger, i.Learn) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				w.t.Errorf("the installer ended with %v", err)
			}
		}
	}
	w.t.Cleanup(stop)
	return stop
}

func rand6() string { return time.Now().Format("150405.000000000") }

// eventually waits until ok says true.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(tolerance)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			w.t.Fatalf("not within %s: %s; versions: %s", tolerance, what, w.versions())
		}
	}
}

// files is a pack's folder.
type files map[string]string

func tool(version, runtime string) files {
	return files{
		"pack.yaml":        "name: tool\nversion: " + version + "\nruntime:\n  python: '>=3." + version[:1] + "'\n",
		"actions/do.yaml":  "runtime: " + runtime + "\nentry_point: do." + map[string]string{"python": "py", "shell": "sh"}[runtime] + "\n",
		"actions/do.py":    "print('hi')\n",
		"actions/do.sh":    "#!/bin/sh\necho hi\n",
		"config.schema.md": version,
	}
}

// record stores the archive of a pack and has it recorded, as the API does.
func (w *world) record(fs files, when definitions.Switch) definitions.Version {
	w.t.Helper()
	in, archive := w.pack(fs)
	w.put(in.Digest, archive)
	r, err := w.store.Record(w.t.Context(), in, when)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Version
}

func (w *world) pack(fs files) (definitions.Installed, []byte) {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, content := range fs {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o755)); err != nil { //nolint:gosec // actions are programs
			w.t.Fatal(err)
		}
	}
	p, err := pack.Load(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	digest, archive, err := pack.Archive(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return definitions.Installed{Pack: p, Digest: digest, Source: "test", By: "tester"}, archive
}

func (w *world) put(digest string, archive []byte) {
	w.t.Helper()
	if err := w.bus.PutObject(w.t.Context(), streams.ObjectsPacks, jetstream.ObjectMeta{Name: digest}, archive); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) kv(bucket string) jetstream.KeyValue {
	w.t.Helper()
	kv, err := w.bus.JS.KeyValue(w.t.Context(), bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	return kv
}

func (w *world) set(bucket, key string, v any) {
	w.t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		_, err = w.kv(bucket).Put(w.t.Context(), key, data)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// keys lists a bucket.
func (w *world) keys(bucket string) []string {
	w.t.Helper()
	keys, err := w.kv(bucket).Keys(w.t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		w.t.Fatal(err)
	}
	sort.Strings(keys)
	return keys
}

// lives lets a puppet live, until it is killed. Its entry would expire, so it is renewed.
func (w *world) lives(name string, change ...func(*streams.RunnerInfo)) (die func()) {
	w.t.Helper()
	r := streams.RunnerInfo{
		Version: 1, Name: name, Pool: "default", Slots: 1, Installs: true, StartedAt: time.Now(), Host: "here",
		Runtimes: []streams.Runtime{{Name: "python", Version: "3.11.2", Path: "/usr/bin/python3"}},
	}
	for _, apply := range change {
		apply(&r)
	}
	w.set(streams.BucketRunners, name, r)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.renew(ctx, r)
	}()
	dead := false
	die = func() {
		if !dead {
			dead = true
			cancel()
			<-done
			if kv, err := w.bus.JS.KeyValue(context.Background(), streams.BucketRunners); err == nil {
				_ = kv.Delete(context.Background(), name)
			}
		}
	}
	w.t.Cleanup(die)
	return die
}

func (w *world) renew(ctx context.Context, r streams.RunnerInfo) {
	tick := time.NewTicker(streams.RunnerHeartbeat)
	defer tick.Stop()
	data, _ := json.Marshal(r)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if kv, err := w.bus.JS.KeyValue(ctx, streams.BucketRunners); err == nil {
			_, _ = kv.Put(ctx, r.Name, data)
		}
	}
}

// told waits until runners were told of a version.
func (w *world) told(v definitions.Version) streams.Install {
	w.t.Helper()
	var in streams.Install
	w.eventually("runners are told of "+v.Version, func() bool {
		e, err := w.kv(streams.BucketInstalls).Get(w.t.Context(), v.Digest)
		return err == nil && json.Unmarshal(e.Value(), &in) == nil && in.Generation >= v.Generation
	})
	return in
}

// reports says how far a puppet is.
func (w *world) reports(name string, v definitions.Version, status streams.InstallStatus) {
	w.t.Helper()
	now := time.Now()
	e := streams.Environment{
		Version: 1, Pack: v.Pack, PackVersion: v.Version, Digest: v.Digest, Generation: v.Generation, Runner: name, Pool: "default", Status: status, StartedAt: now,
	}
	switch status {
	case streams.Installed:
		e.InstalledAt = &now
	case streams.InstallError:
		e.Error, e.Tail = "pip ended with status 1", []string{"ERROR: no such wheel"}
	case streams.Installing, streams.NotInstalled:
	}
	w.set(streams.BucketEnvironments, streams.EnvironmentKey(v.Digest, name), e)
}

// becomes waits until a version has a state.
func (w *world) becomes(v definitions.Version, state definitions.VersionState) definitions.Version {
	w.t.Helper()
	var now definitions.Version
	w.eventually(v.Version+" is "+string(state), func() bool {
		var err error
		now, err = w.store.Version(w.t.Context(), v.Pack, v.Digest)
		return err == nil && now.State == state
	})
	return now
}

// versions gives "version:state" of all versions, by their version.
func (w *world) versions() string {
	snap, err := w.store.Snapshot(context.Background())
	if err != nil {
		return err.Error()
	}
	parts := make([]string, 0, len(snap.Versions))
	for _, v := range snap.Versions {
		parts = append(parts, v.Version+":"+string(v.State)+" "+v.Error)
	}
	sort.Strings(parts)
	return strings.Join(parts, " ")
}

func (w *world) inService() string {
	w.t.Helper()
	snap, err := w.store.Snapshot(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return snap.Packs["tool"].Version
}
