package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/sandbox"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("RUNNER_TEST_DIR"); dir != "" {
		beRunner(dir)
		return
	}
	// The client library leaves a goroutine behind when a Get of an object fails after its first chunk has come,
	// which an outage of the bus can bring about.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats.go/jetstream.(*obs).Get.func2"),
		goleak.Cleanup(func(code int) { _ = os.RemoveAll(playground()); os.Exit(code) }))
}

// patience bounds what a test waits for.
const patience = time.Minute

// desk stands for everything around a runner: it requests, dispatches and sees what happens.
type desk struct {
	t      testing.TB
	server *natsserver.Server
	bus    *bus.Bus
	facts  *execution.Facts
	digest string

	mu   sync.Mutex
	seen map[string][]execution.Fact // by execution, in order
	more chan struct{}               // closed and replaced with every fact
}

// newDesk starts a server that has a pack with those files below actions/.
func newDesk(t testing.TB, files map[string]string) *desk {
	t.Helper()
	d := &desk{t: t, server: natstest.Start(t), seen: map[string][]execution.Fact{}, more: make(chan struct{})}
	removable(t, filepath.Dir(t.TempDir()))
	d.bus = natstest.Connect(t, d.server)
	d.facts = execution.NewFacts(d.bus.JS)
	d.digest = d.install(files)
	if _, err := d.bus.Conn.Subscribe(streams.AllExecutions, d.notice); err != nil {
		t.Fatal(err)
	}
	d.flush()
	return d
}

// removable has a folder removed at the end of the test, which t.TempDir cannot do for an ordinary user where packs are
// in it: nobody may write those.
func removable(t testing.TB, dir string) {
	t.Helper()
	t.Cleanup(func() {
		if err := environment.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

func (d *desk) flush() {
	d.t.Helper()
	if err := d.bus.Conn.Flush(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) install(files map[string]string) string {
	d.t.Helper()
	dir := filepath.Join(d.t.TempDir(), "p")
	write(d.t, filepath.Join(dir, "pack.yaml"), "name: p\nversion: 1.0.0\n", 0o600)
	for name, text := range files {
		mode := os.FileMode(0o600)
		if strings.HasPrefix(text, "#!") {
			mode = 0o700
		}
		write(d.t, filepath.Join(dir, "actions", name), text, mode)
	}
	digest, archive, err := pack.Archive(dir)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.bus.PutObject(d.t.Context(), streams.ObjectsPacks, jetstream.ObjectMeta{Name: digest}, archive); err != nil {
		d.t.Fatal(err)
	}
	return digest
}

func write(t testing.TB, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (d *desk) notice(m *nats.Msg) {
	f, err := execution.ParseFact(m.Data)
	if err != nil {
		d.t.Errorf("fact: %v", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[f.ID] = append(d.seen[f.ID], f)
	close(d.more)
	d.more = make(chan struct{})
}

// await waits until the facts of an execution are as a test wants them.
func (d *desk) await(id, what string, holds func(f execution.Fact) bool) execution.Fact {
	d.t.Helper()
	over := time.After(patience)
	look := time.NewTicker(200 * time.Millisecond) // a message may have passed while the desk was not connected
	defer look.Stop()
	for {
		d.mu.Lock()
		more, facts := d.more, d.seen[id]
		d.mu.Unlock()
		for _, f := range facts {
			if holds(f) {
				return f
			}
		}
		select {
		case <-more:
		case <-look.C:
			if st, err := d.facts.Find(d.t.Context(), id); err == nil && holds(st.Fact) {
				return st.Fact
			}
		case <-over:
			d.t.Fatalf("execution %s is not %s: %+v", id, what, facts)
		}
	}
}

func (d *desk) ended(id string) execution.Fact {
	d.t.Helper()
	return d.await(id, "ended", func(f execution.Fact) bool { return execution.Final(f.Status) })
}

func (d *desk) running(id string) execution.Fact {
	d.t.Helper()
	return d.await(id, "running", func(f execution.Fact) bool { return f.Status == streams.Running })
}

// request requests an execution and dispatches it.
func (d *desk) request(action, parameters string) string {
	d.t.Helper()
	id := execution.NewID()
	_, err := d.facts.Request(d.t.Context(), execution.Request{
		ID: id, Action: "p." + action, PackDigest: d.digest, Parameters: json.RawMessage(parameters), Pool: streams.DefaultPool, By: "api", Rule: "p.r", Event: "e1",
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.dispatch(id, action, 1)
	return id
}

func (d *desk) dispatch(id, action string, attempt int) {
	d.t.Helper()
	d.dispatchIn(streams.DefaultPool, id, action, attempt)
}

func (d *desk) dispatchIn(pool, id, action string, attempt int) {
	d.t.Helper()
	subject, err := streams.RunSubject(pool, id)
	if err != nil {
		d.t.Fatal(err)
	}
	data, err := json.Marshal(streams.Run{Version: streams.Version, ID: id, Action: "p." + action, Attempt: attempt})
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.bus.JS.Publish(d.t.Context(), subject, data); err != nil {
		d.t.Fatal(err)
	}
}

// queued counts the dispatches that nobody has acknowledged.
func (d *desk) queued() uint64 {
	d.t.Helper()
	s, err := d.bus.JS.Stream(d.t.Context(), streams.Runs)
	if err != nil {
		d.t.Fatal(err)
	}
	info, err := s.Info(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return info.State.Msgs
}

// started is a runner under way.
type started struct {
	*runner.Runner
	stop func() // drains and waits
}

// start starts a runner of the desk's server with a connection of its own.
func (d *desk) start(change func(*runner.Config)) started {
	d.t.Helper()
	c := runner.Config{
		Bus: natstest.Connect(d.t, d.server), Name: "r", DataDir: d.t.TempDir(), Slots: 4, Grace: 2 * time.Second, Path: os.Getenv("PATH"),
		Isolation: isolation(),
		Logger:    slog.New(slog.NewTextHandler(testWriter{d.t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&c)
	}
	r, err := runner.New(c)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil && ctx.Err() == nil {
			d.t.Errorf("runner: %v", err)
		}
	}()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	d.t.Cleanup(stop)
	return started{Runner: r, stop: stop}
}

// isolation is what runners of tests have, and the default of those of users: beside it their actions may change what
// tests made by folder.
func isolation() runner.Isolation {
	return runner.Isolation{Write: []string{playground()}, Users: sandbox.DefaultUsers}
}

// playground is where actions of tests leave what the tests look for, and the other way round.
var playground = sync.OnceValue(func() string {
	if dir := os.Getenv("RUNNER_TEST_PLAYGROUND"); dir != "" {
		return dir
	}
	dir, err := os.MkdirTemp("", "attune-runner-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // actions are other users
	}
	if err != nil {
		panic(err)
	}
	return dir
})

// folder is like t.TempDir, in a place that every user can reach and change.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(playground(), "") //nolint:usetesting // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is what it is for
		t.Fatal(err)
	}
	return dir
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// eventually waits for something that can only be looked at.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(within); !holds(); {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// alive counts the processes with a text in their command line.
func alive(text string) (n int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		line, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(line, []byte(text)) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(name), "stat"))
		if err == nil && !bytes.Contains(stat, []byte(") Z ")) {
			n++
		}
	}
	return n
}

// token is a number of seconds that no other process sleeps.
func token() string { return fmt.Sprintf("9%d%d", os.Getpid(), time.Now().UnixNano()%1e9) }

// action gives an action's definition and its script.
func action(files map[string]string, name, yaml, file, text string) {
	files[name+".yaml"] = "entry_point: " + file + "\n" + yaml
	files[file] = text
}

// scripts is a pack of shell actions, by name.
func scripts(texts map[string]string) map[string]string {
	files := map[string]string{}
	for name, text := range texts {
		action(files, name, "runtime: shell\n", name+".sh", "#!/bin/sh\n"+text)
	}
	return files
}
