package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

// beRunner is a runner in a process that a test can stop and kill.
func beRunner(dir string) {
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	b, err := bus.Connect(context.Background(), bus.Config{URL: os.Getenv("RUNNER_TEST_URL"), CredsFile: os.Getenv("RUNNER_TEST_CREDS"), Name: "r", Logger: log})
	if err != nil {
		panic(err)
	}
	r, err := runner.New(runner.Config{
		Bus: b, Name: "r", DataDir: dir, Slots: 4, Grace: time.Second, Logger: log, Isolation: isolation(), Containers: runtime.ContainerConfig{Rootfs: []string{os.TempDir()}},
	})
	if err != nil {
		panic(err)
	}
	if err := r.Run(context.Background()); err != nil {
		panic(err)
	}
}

// startProcess starts a runner in a process of its own, and gives the function that kills it.
func (d *desk) startProcess(dir string) (pid int, kill func()) {
	d.t.Helper()
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^$") //nolint:gosec,noctx // this test binary; the test kills it
	cmd.Env = append(os.Environ(), "RUNNER_TEST_DIR="+dir, "RUNNER_TEST_URL="+d.server.URL(), "RUNNER_TEST_CREDS="+d.server.CredsFile(), "RUNNER_TEST_PLAYGROUND="+playground())
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = testWriter{d.t}, testWriter{d.t}, time.Second
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // it may have been killed
		_ = cmd.Wait()         // likewise
	}
	d.t.Cleanup(kill)
	return cmd.Process.Pid, kill
}

// runners lists the entries of RUNNERS.
func (d *desk) runners() []string {
	d.t.Helper()
	kv, err := d.bus.JS.KeyValue(d.t.Context(), streams.BucketRunners)
	if err != nil {
		d.t.Fatal(err)
	}
	keys, err := kv.Keys(d.t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		d.t.Fatal(err)
	}
	return keys
}

func sleeper(seconds string) map[string]string {
	return scripts(map[string]string{"nap": "(trap '' TERM; setsid env -i sleep " + seconds + " >/dev/null 2>&1 &)\n sleep " + seconds})
}

func TestAKilledRunnerLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	seconds, dir := token(), t.TempDir()
	d := newDesk(t, sleeper(seconds))
	_, kill := d.startProcess(dir)
	id := d.request("nap", `{}`)
	was := d.running(id).Runner
	eventually(t, patience, "it runs", func() bool { return alive("sleep\x00"+seconds) == 2 })
	kill()
	eventually(t, 20*time.Second, "its processes are gone", func() bool { return alive("sleep\x00"+seconds) == 0 })
	if got := d.runners(); len(got) != 1 || got[0] != was {
		t.Fatalf("entries %v, want %s until it expires", got, was)
	}
	r := d.start(func(c *runner.Config) { c.DataDir = dir })
	eventually(t, 20*time.Second, "its successor removes its entry", func() bool {
		got := d.runners()
		return len(got) == 1 && got[0] == r.Name()
	})
	if left, _ := filepath.Glob(filepath.Join(dir, "work", "*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if st, err := d.facts.Find(t.Context(), id); err != nil || st.Status != streams.Running {
		t.Errorf("%+v, %v: to call it lost is the scheduler's", st, err)
	}
}

func TestAnEndThatCouldNotBePublishedSurvivesTheRunner(t *testing.T) {
	t.Parallel()
	dir, signal := t.TempDir(), filepath.Join(folder(t), "go")
	d := newDesk(t, scripts(map[string]string{"wait": "echo $$ > " + signal + ".pid; while [ ! -e " + signal + " ]; do sleep 0.01; done; exit 3"}))
	_, kill := d.startProcess(dir)
	id := d.request("wait", `{}`)
	d.running(id)
	eventually(t, patience, "it runs", func() bool { _, err := os.Stat(signal + ".pid"); return err == nil })
	d.server.Stop()
	write(t, signal, "", 0o600)
	eventually(t, patience, "the end is spooled", func() bool {
		return waiting(dir) == 1
	})
	kill()
	if err := d.server.Restart(); err != nil {
		t.Fatal(err)
	}
	d.start(func(c *runner.Config) { c.DataDir = dir })
	if f := d.ended(id); f.Status != streams.Failed || *f.ExitCode != 3 {
		t.Errorf("%+v", f)
	}
	eventually(t, patience, "the spool is empty", func() bool { return waiting(dir) == 0 })
}

// waiting counts the ends in a runner's spool that have not been delivered.
func waiting(dir string) (n int) {
	files, _ := filepath.Glob(filepath.Join(dir, "spool", "*.json"))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(text), "{") { //nolint:gosec // of this test
			n++
		}
	}
	return n
}

func TestAShortOutageOfTheBusIsOnlyLatency(t *testing.T) {
	t.Parallel()
	signal := filepath.Join(folder(t), "go")
	d := newDesk(t, scripts(map[string]string{"wait": "while [ ! -e " + signal + " ]; do sleep 0.01; done; echo done"}))
	d.start(nil)
	id := d.request("wait", `{}`)
	d.running(id)
	d.server.Stop()
	write(t, signal, "", 0o600)
	if err := d.server.Restart(); err != nil {
		t.Fatal(err)
	}
	if f := d.ended(id); f.Status != streams.Succeeded || d.log(id, logs.Stdout) != "done\n" {
		t.Errorf("%+v", f)
	}
	next := d.request("wait", `{}`)
	if f := d.ended(next); f.Status != streams.Succeeded {
		t.Errorf("after the outage: %+v %+v", f, f.Error)
	}
}

func TestARunnerThatCannotRenewKillsWhatItRuns(t *testing.T) {
	t.Parallel()
	seconds := token()
	files := sleeper(seconds)
	action(files, "quick", "runtime: shell\n", "quick.sh", "#!/bin/sh\nexit 0\n")
	d := newDesk(t, files)
	d.start(func(c *runner.Config) { c.Grace = time.Hour })
	id := d.request("nap", `{}`)
	d.running(id)
	eventually(t, patience, "it runs", func() bool { return alive("sleep\x00"+seconds) == 2 })
	d.server.Stop()
	eventually(t, streams.RunnerTTL, "its processes are gone", func() bool { return alive("sleep\x00"+seconds) == 0 })
	if err := d.server.Restart(); err != nil {
		t.Fatal(err)
	}
	if f := d.ended(id); f.Status != streams.Lost || f.Error.Class != streams.ClassRunnerLost {
		t.Errorf("%+v", f)
	}
	if f := d.ended(d.request("quick", `{}`)); f.Status != streams.Succeeded {
		t.Errorf("afterwards: %+v %+v", f, f.Error)
	}
}

// lose calls an execution lost, as the scheduler does.
func (d *desk) lose(id string) {
	d.t.Helper()
	st, err := d.facts.Find(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	f := st.Fact
	f.At = time.Now().UTC()
	at := f.At
	f.Status, f.EndedAt, f.Error = streams.Lost, &at, &streams.Error{Class: streams.ClassRunnerLost, Message: "test"}
	if _, err := d.facts.Append(d.t.Context(), st, f); err != nil {
		d.t.Fatal(err)
	}
}

func TestALateResultIsRefused(t *testing.T) {
	t.Parallel()
	signal, dir := filepath.Join(folder(t), "go"), t.TempDir()
	d := newDesk(t, scripts(map[string]string{"wait": "touch " + signal + ".begun; while [ ! -e " + signal + " ]; do sleep 0.01; done; touch " + signal + ".done"}))
	pid, _ := d.startProcess(dir)
	id := d.request("wait", `{}`)
	d.running(id)
	eventually(t, patience, "the action runs", func() bool { _, err := os.Stat(signal + ".begun"); return err == nil })
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	write(t, signal, "", 0o600)
	eventually(t, patience, "the action ends", func() bool { _, err := os.Stat(signal + ".done"); return err == nil })
	d.lose(id)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the runner is done with it", func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, "spool", "*"))
		if len(files) != 1 {
			return false
		}
		text, err := os.ReadFile(files[0])
		return err == nil && strings.HasPrefix(string(text), "#")
	})
	if st, err := d.facts.Find(t.Context(), id); err != nil || st.Status != streams.Lost {
		t.Errorf("%+v, %v; want it lost", st.Fact, err)
	}
}

func TestWhatWasTakenAwayIsEnded(t *testing.T) {
	t.Parallel()
	seconds := token()
	d := newDesk(t, sleeper(seconds))
	d.start(nil)
	id := d.request("nap", `{}`)
	d.running(id)
	eventually(t, patience, "it runs", func() bool { return alive("sleep\x00"+seconds) == 2 })
	d.lose(id)
	eventually(t, patience, "its processes are gone", func() bool { return alive("sleep\x00"+seconds) == 0 })
	if st, err := d.facts.Find(t.Context(), id); err != nil || st.Status != streams.Lost {
		t.Errorf("%+v, %v; want it lost", st.Fact, err)
	}
}

func TestAnExecutionIsRunOnceHoweverOftenItIsDispatched(t *testing.T) {
	t.Parallel()
	count := filepath.Join(folder(t), "count")
	write(t, count, "", 0o600)
	if err := os.Chmod(count, 0o666); err != nil { //nolint:gosec // each execution is another user
		t.Fatal(err)
	}
	d := newDesk(t, scripts(map[string]string{"once": "echo x >>" + count + "; sleep 0.05"}))
	for range 3 {
		d.start(nil)
	}
	var ids []string
	for range 20 {
		id := d.request("once", `{}`)
		for range 3 {
			d.repeat(id, "once", 1)
		}
		d.repeat(id, "once", 2)
		ids = append(ids, id)
	}
	for _, id := range ids {
		if f := d.ended(id); f.Status != streams.Succeeded {
			t.Errorf("%+v", f)
		}
	}
	eventually(t, patience, "dispatches are settled", func() bool { return d.queued() == 0 })
	if text, err := os.ReadFile(count); err != nil || string(text) != strings.Repeat("x\n", len(ids)) {
		t.Errorf("%d runs of %d executions, %v", len(text)/2, len(ids), err)
	}
}

func TestADispatchThatLooksLikeWordOfTheServerIsRefusedOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{"say": "echo x"}))
	for _, status := range []string{"100", "404", "408", "409", "503"} {
		if _, err := d.bus.JS.PublishMsg(t.Context(), &nats.Msg{Subject: "attune.run.default.status-" + status, Header: nats.Header{"Status": {status}}}); err != nil {
			t.Fatal(err)
		}
	}
	d.start(nil)
	if f := d.ended(d.request("say", `{}`)); f.Status != streams.Succeeded {
		t.Errorf("%+v", f)
	}
	eventually(t, patience, "dispatches are settled", func() bool { return d.queued() == 0 })
}

// repeat dispatches again; the stream may hold the first dispatch still.
func (d *desk) repeat(id, action string, attempt int) {
	d.t.Helper()
	subject, err := streams.RunSubject("default", id+"-again")
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

func TestWhatWasCanceledBeforeItsClaimIsNotRun(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(folder(t), "ran")
	d := newDesk(t, scripts(map[string]string{"mark": "touch " + mark}))
	id := d.request("mark", `{}`)
	d.cancel(id)
	d.dispatch(execution.NewID(), "mark", 1) // one that nobody requested
	subject, err := streams.RunSubject("default", "garbage")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.bus.JS.Publish(t.Context(), subject, []byte("{")); err != nil {
		t.Fatal(err)
	}
	d.start(nil)
	eventually(t, patience, "dispatches are dropped", func() bool { return d.queued() == 0 })
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it ran: %v", err)
	}
}

func TestCancelEndsWhatDoesNotWantTo(t *testing.T) {
	t.Parallel()
	seconds := token()
	d := newDesk(t, scripts(map[string]string{
		"stubborn": "trap '' TERM\n(trap '' TERM; setsid sh -c 'setsid sleep " + seconds + " & exit' >/dev/null 2>&1 &)\nwhile :; do sleep 0.02; done",
		"polite":   "trap 'echo cleaned; exit 0' TERM; while :; do sleep 0.02; done",
	}))
	d.start(func(c *runner.Config) { c.Grace = 300 * time.Millisecond })
	id := d.request("stubborn", `{}`)
	d.running(id)
	eventually(t, patience, "it runs", func() bool { return alive("sleep\x00"+seconds) == 1 })
	began := time.Now()
	d.cancel(id)
	f := d.ended(id)
	if f.Status != streams.Canceled || f.By != "me" || f.Error.Class != streams.ClassCanceled || time.Since(began) > 2300*time.Millisecond {
		t.Errorf("%+v after %s", f, time.Since(began))
	}
	if n := alive("sleep\x00" + seconds); n != 0 {
		t.Errorf("%d processes left", n)
	}
	id = d.request("polite", `{}`)
	d.running(id)
	d.cancel(id)
	if f := d.ended(id); f.Status != streams.Canceled || *f.ExitCode > 143 {
		t.Errorf("%+v", f)
	}
}

func TestAnOutputThatIsHeldOpenIsFlagged(t *testing.T) {
	t.Parallel()
	seconds := token()
	d := newDesk(t, scripts(map[string]string{"held": "echo hi; setsid sleep " + seconds + " & exit 0"}))
	d.start(nil)
	id := d.request("held", `{}`)
	if f := d.ended(id); f.Status != streams.Succeeded || !f.Output.Held || d.log(id, logs.Stdout) != "hi\n" {
		t.Errorf("%+v %+v", f, f.Output)
	}
	if n := alive("sleep\x00" + seconds); n != 0 {
		t.Errorf("%d processes left", n)
	}
}

func TestDrainingFinishesWhatRunsAndTakesNothingNew(t *testing.T) {
	t.Parallel()
	signal := filepath.Join(folder(t), "go")
	d := newDesk(t, scripts(map[string]string{"wait": "while [ ! -e " + signal + " ]; do sleep 0.01; done"}))
	r := d.start(nil)
	id := d.request("wait", `{}`)
	d.running(id)
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	eventually(t, patience, "it says that it drains", func() bool { return d.info(r.Name()).Draining })
	late := d.request("wait", `{}`)
	write(t, signal, "", 0o600)
	if f := d.ended(id); f.Status != streams.Succeeded {
		t.Errorf("%+v", f)
	}
	<-stopped
	if got := d.runners(); len(got) != 0 {
		t.Errorf("entries %v after a clean stop", got)
	}
	if st, err := d.facts.Find(t.Context(), late); err != nil || st.Status != streams.Requested {
		t.Errorf("%+v, %v: taken by a runner that drains", st, err)
	}
	d.start(nil)
	if f := d.ended(late); f.Status != streams.Succeeded {
		t.Errorf("%+v", f)
	}
}

func (d *desk) info(name string) (i streams.RunnerInfo) {
	d.t.Helper()
	kv, err := d.bus.JS.KeyValue(d.t.Context(), streams.BucketRunners)
	if err != nil {
		d.t.Fatal(err)
	}
	entry, err := kv.Get(d.t.Context(), name)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := json.Unmarshal(entry.Value(), &i); err != nil {
		d.t.Fatal(err)
	}
	return i
}

func TestADrainThatTakesTooLongEndsWhatRuns(t *testing.T) {
	t.Parallel()
	seconds := token()
	d := newDesk(t, sleeper(seconds))
	r := d.start(func(c *runner.Config) { c.DrainTimeout, c.Grace = 50*time.Millisecond, 100*time.Millisecond })
	id := d.request("nap", `{}`)
	d.running(id)
	eventually(t, patience, "it runs", func() bool { return alive("sleep\x00"+seconds) == 2 })
	r.stop()
	if f := d.ended(id); f.Status != streams.Lost || f.Error.Class != streams.ClassRunnerLost {
		t.Errorf("%+v", f)
	}
	if n := alive("sleep\x00" + seconds); n != 0 {
		t.Errorf("%d processes left", n)
	}
}

func TestTheEntrySaysWhatTheRunnerIs(t *testing.T) {
	t.Parallel()
	d := newDesk(t, sleeper("1000"))
	r := d.start(func(c *runner.Config) { c.Slots, c.Build, c.Secrets = 3, "v1", keys{} })
	eventually(t, patience, "it has an entry", func() bool { return len(d.runners()) == 1 })
	id := d.request("nap", `{}`)
	d.running(id)
	eventually(t, patience, "the entry counts it", func() bool { return d.info(r.Name()).Running == 1 })
	i := d.info(r.Name())
	if i.Name != r.Name() || i.Pool != "default" || i.Slots != 3 || i.Build != "v1" || i.XKey != "XKEY" || i.PID != os.Getpid() || i.Draining {
		t.Errorf("%+v", i)
	}
	names := map[string]bool{}
	for _, found := range i.Runtimes {
		names[found.Name] = found.Version != ""
	}
	if !names["shell"] || !names["python"] || !names["node"] || !names["native"] {
		t.Errorf("runtimes %+v", i.Runtimes)
	}
	d.cancel(id)
}

func TestOneFolderHasOneRunner(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	dir := t.TempDir()
	r := d.start(func(c *runner.Config) { c.DataDir = dir })
	if _, err := runner.New(runner.Config{Bus: d.bus, Name: "r", DataDir: dir, Logger: slog.Default()}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second one: %v", err)
	}
	r.stop()
	d.start(func(c *runner.Config) { c.DataDir = dir })
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	_, err := runner.New(runner.Config{Bus: d.bus, Name: "a.b", Pool: "x y", Slots: -1, DataDir: t.TempDir(), Logger: slog.Default()})
	for _, part := range []string{"a.b", "x y", "-1"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
}

func TestPacksThatCannotBeHad(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{"a": "exit 0"}))
	d.start(nil)
	real := d.digest
	d.digest = strings.Repeat("0", 64)
	for _, digest := range []string{d.digest, "../../etc", "a/b", ".."} {
		d.digest = digest
		if f := d.ended(d.request("a", `{}`)); f.Error == nil || f.Error.Class != streams.ClassPackUnavailable {
			t.Errorf("%s: %+v", digest, f)
		}
	}
	objects, err := d.bus.JS.ObjectStore(t.Context(), streams.ObjectsPacks)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := objects.GetBytes(t.Context(), real)
	if err != nil {
		t.Fatal(err)
	}
	d.digest = strings.Repeat("1", 64)
	if err := d.bus.PutObject(t.Context(), streams.ObjectsPacks, jetstream.ObjectMeta{Name: d.digest}, archive); err != nil {
		t.Fatal(err)
	}
	if f := d.ended(d.request("a", `{}`)); f.Error == nil || !strings.Contains(f.Error.Message, "another digest") {
		t.Errorf("%+v", f)
	}
	d.digest = d.install(map[string]string{"a.yaml": "runtime: Ruby\nentry_point: a.rb\n"})
	if f := d.ended(d.request("a", `{}`)); f.Error == nil || !strings.Contains(f.Error.Message, "actions/a.yaml:1:10") {
		t.Errorf("%+v", f)
	}
	d.digest = real
	if f := d.ended(d.request("a", `{}`)); f.Status != streams.Succeeded {
		t.Errorf("%+v", f)
	}
}
