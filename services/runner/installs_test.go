package runner_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

func (d *desk) bucket(name string) jetstream.KeyValue {
	d.t.Helper()
	kv, err := d.bus.JS.KeyValue(d.t.Context(), name)
	if err != nil {
		d.t.Fatal(err)
	}
	return kv
}

func (d *desk) put(bucket, key string, v any) {
	d.t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		_, err = d.bucket(bucket).Put(d.t.Context(), key, data)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// ask asks the runners of the default pool for the desk's pack.
func (d *desk) ask(generation int) {
	d.t.Helper()
	d.put(streams.BucketInstalls, d.digest, streams.Install{
		Version: streams.Version, Pack: "p", PackVersion: "1.0.0", Digest: d.digest, Pools: []string{streams.DefaultPool}, Generation: generation, RequestedAt: time.Now().UTC(),
	})
}

// reported waits for a runner's report about the desk's pack.
func (d *desk) reported(r started, status streams.InstallStatus, generation int) (e streams.Environment) {
	d.t.Helper()
	kv := d.bucket(streams.BucketEnvironments)
	eventually(d.t.(*testing.T), patience, string(status)+" is reported", func() bool {
		entry, err := kv.Get(d.t.Context(), streams.EnvironmentKey(d.digest, r.Name()))
		e = streams.Environment{}
		return err == nil && json.Unmarshal(entry.Value(), &e) == nil && e.Status == status && e.Generation == generation
	})
	return e
}

// toy is a runtime whose programs are shell scripts, and whose build is one as well.
func toy(t *testing.T, build string) func(*runner.Config) {
	t.Helper()
	defs, bin := t.TempDir(), t.TempDir()
	text, err := json.Marshal(build)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(defs, "toy.yaml"), fmt.Sprintf(`description: for tests
detect: {programs: [toy], ask: [--version]}
build:
  - name: make it
    run: [/bin/sh, -c, %s, sh, "{env}"]
run:
  program: ["{file}", "{env}"]
`, text), 0o600)
	write(t, filepath.Join(bin, "toy"), "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 1.2.3; else exec /bin/sh \"$@\"; fi\n", 0o755)
	return func(c *runner.Config) { c.RuntimesDir, c.RuntimePath = defs, bin }
}

// toys is a pack of toy actions.
func toys(texts map[string]string) map[string]string {
	files := map[string]string{}
	for name, text := range texts {
		action(files, name, "runtime: toy\n", name+".toy", text)
	}
	return files
}

func with(changes ...func(*runner.Config)) func(*runner.Config) {
	return func(c *runner.Config) {
		for _, change := range changes {
			change(c)
		}
	}
}

func in(dir string) func(*runner.Config) { return func(c *runner.Config) { c.DataDir = dir } }

func TestAPackIsInstalledReportedAndReadyAgainAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	machine := with(toy(t, `mkdir "$1"; echo making; echo made > "$1/made"`), in(dir))
	d := newDesk(t, toys(map[string]string{"a": `cat "$1/made"`}))
	first := d.start(machine)
	d.ask(1)
	e := d.reported(first, streams.Installed, 1)
	if len(e.Runtimes) != 1 || e.Runtimes[0].Version != "1.2.3" || e.InstalledAt == nil || e.Error != "" || e.Pool != streams.DefaultPool || e.Host == "" {
		t.Errorf("report: %+v", e)
	}
	eventually(t, patience, "the runner says that it installs", func() bool {
		var info streams.RunnerInfo
		entry, err := d.bucket(streams.BucketRunners).Get(t.Context(), first.Name())
		return err == nil && json.Unmarshal(entry.Value(), &info) == nil && info.Installs
	})
	if want := "install-" + d.digest[:12] + "-" + first.Name() + "-1"; e.Log != want {
		t.Errorf("log %q is not %q", e.Log, want)
	}
	if text := d.log(e.Log, logs.Stdout); !strings.Contains(text, "attune: toy 1.2.3: make it\n$ /bin/sh -c ") || !strings.Contains(text, "\nmaking\n") {
		t.Errorf("log: %s", text)
	}
	id := d.request("a", `{}`)
	if f := d.ended(id); f.Status != streams.Succeeded || d.log(id, logs.Stdout) != "made\n" {
		t.Errorf("execution: %+v %+v", f, f.Error)
	}
	first.stop()
	began := time.Now()
	second := d.start(machine)
	again := d.reported(second, streams.Installed, 1)
	t.Logf("reported as ready %s after the start of a runner, %s by its own account", time.Since(began), again.InstalledAt.Sub(began))
	if again.Log != "" {
		t.Errorf("it was built again: %+v", again)
	}
	keys, err := d.bucket(streams.BucketEnvironments).Keys(t.Context())
	if err != nil || len(keys) != 1 {
		t.Errorf("reports: %v, %v", keys, err)
	}
}

func TestReportsOfAKilledRunnerAreRemovedByItsSuccessor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, scripts(map[string]string{"a": "exit 0"}))
	d.ask(1)
	_, kill := d.startProcess(dir)
	kv := d.bucket(streams.BucketEnvironments)
	keys := func() int { all, _ := kv.Keys(t.Context()); return len(all) }
	eventually(t, patience, "it reports", func() bool { return keys() == 1 })
	kill()
	d.reported(d.start(in(dir)), streams.Installed, 1)
	eventually(t, patience, "only its own report is there", func() bool { return keys() == 1 })
}

func TestAFailedInstallSaysWhyAndIsTriedAgainWhenAsked(t *testing.T) {
	t.Parallel()
	flag := filepath.Join(folder(t), "flag")
	d := newDesk(t, toys(map[string]string{"a": `exit 0`}))
	r := d.start(toy(t, `test -e `+flag+` || { echo "ERROR: no flag here"; exit 4; }; mkdir "$1"`))
	d.ask(1)
	e := d.reported(r, streams.InstallError, 1)
	if want := "build_failed: toy 1.2.3: make it: exit status 4: ERROR: no flag here"; e.Error != want || strings.Join(e.Tail, "|") != "ERROR: no flag here" || e.Step != "toy 1.2.3: make it" {
		t.Errorf("report: %+v", e)
	}
	if f := d.ended(d.request("a", `{}`)); f.Error == nil || f.Error.Class != streams.ClassPackUnavailable || !strings.HasSuffix(f.Error.Message, "ERROR: no flag here") {
		t.Errorf("execution: %+v", f.Error)
	}
	write(t, flag, "", 0o600)
	d.ask(2)
	d.reported(r, streams.Installed, 2)
	if f := d.ended(d.request("a", `{}`)); f.Status != streams.Succeeded {
		t.Errorf("execution: %+v", f.Error)
	}
}

func TestAPackThatIsTakenAwayGoesAfterItsLastUse(t *testing.T) {
	t.Parallel()
	dir, gate := t.TempDir(), filepath.Join(folder(t), "gate")
	d := newDesk(t, toys(map[string]string{"a": `touch ` + gate + `.began; until test -e ` + gate + `; do sleep 0.02; done; cat "$1/made"`}))
	r := d.start(with(toy(t, `mkdir "$1"; echo made > "$1/made"`), in(dir)))
	d.ask(1)
	d.reported(r, streams.Installed, 1)
	id := d.request("a", `{}`)
	d.running(id)
	eventually(t, patience, "its program runs", func() bool { _, err := os.Stat(gate + ".began"); return err == nil })
	if err := d.bucket(streams.BucketInstalls).Delete(t.Context(), d.digest); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the report goes", func() bool {
		_, err := d.bucket(streams.BucketEnvironments).Get(t.Context(), streams.EnvironmentKey(d.digest, r.Name()))
		return err != nil
	})
	write(t, gate, "", 0o600)
	if f := d.ended(id); f.Status != streams.Succeeded || d.log(id, logs.Stdout) != "made\n" {
		t.Errorf("execution: %+v", f)
	}
	eventually(t, patience, "the folder goes", func() bool {
		_, err := os.Stat(filepath.Join(dir, "packs", d.digest))
		return os.IsNotExist(err)
	})
}

func TestAnExecutionWaitsForTheBuildAndCanBeCanceledMeanwhile(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(folder(t), "gate")
	d := newDesk(t, toys(map[string]string{"a": `cat "$1/made"`}))
	r := d.start(toy(t, `until test -e `+gate+`; do sleep 0.02; done; mkdir "$1"; echo made > "$1/made"`))
	d.ask(1)
	if e := d.reported(r, streams.Installing, 1); e.Step == "" {
		eventually(t, patience, "the step is told", func() bool { return d.reported(r, streams.Installing, 1).Step != "" })
	}
	kept, canceled := d.request("a", `{}`), d.request("a", `{}`)
	d.running(kept)
	d.running(canceled)
	eventually(t, patience, "the dispatches are acknowledged", func() bool { return d.queued() == 0 })
	d.cancel(canceled)
	if f := d.ended(canceled); f.Status != streams.Canceled {
		t.Errorf("canceled: %+v", f)
	}
	write(t, gate, "", 0o600)
	if f := d.ended(kept); f.Status != streams.Succeeded || d.log(kept, logs.Stdout) != "made\n" {
		t.Errorf("kept: %+v %+v", f, f.Error)
	}
}

func TestAMissingRuntimeIsReportedAndTheRestIsInstalled(t *testing.T) {
	t.Parallel()
	files := scripts(map[string]string{"a": "exit 0"})
	action(files, "b", "runtime: absent\n", "b.txt", "hello")
	d := newDesk(t, files)
	r := d.start(nil)
	d.ask(1)
	e := d.reported(r, streams.Installed, 1)
	if len(e.Missing) != 1 || e.Missing[0].Runtime != "absent" {
		t.Errorf("missing: %+v", e.Missing)
	}
	if f := d.ended(d.request("a", `{}`)); f.Status != streams.Succeeded {
		t.Errorf("a: %+v", f.Error)
	}
	if f := d.ended(d.request("b", `{}`)); f.Error == nil || f.Error.Class != streams.ClassSpawnFailed || !strings.Contains(f.Error.Message, "runtime absent (any version) is not on this runner") {
		t.Errorf("b: %+v", f.Error)
	}
}

func TestReportsAreSentWhenTheBusIsBack(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(folder(t), "gate")
	d := newDesk(t, toys(map[string]string{"a": "exit 0"}))
	r := d.start(toy(t, `until test -e `+gate+`; do sleep 0.02; done; mkdir "$1"`))
	d.ask(1)
	eventually(t, patience, "the build runs", func() bool { return strings.HasSuffix(d.reported(r, streams.Installing, 1).Step, "make it") })
	d.server.Stop()
	write(t, gate, "", 0o600)
	if err := d.server.Restart(); err != nil {
		t.Fatal(err)
	}
	d.reported(r, streams.Installed, 1)
}

func TestActionsGetTheConfigurationOfTheirPack(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{"a": "cat"}))
	d.put(streams.BucketConfigs, "p", map[string]any{"url": "one"})
	d.start(nil)
	config := func() string {
		id := d.request("a", `{}`)
		d.ended(id)
		var given struct{ Config json.RawMessage }
		if err := json.Unmarshal([]byte(d.log(id, logs.Stdout)), &given); err != nil {
			t.Error(err)
		}
		return string(given.Config)
	}
	if got := config(); got != `{"url":"one"}` {
		t.Errorf("config: %s", got)
	}
	d.put(streams.BucketConfigs, "p", map[string]any{"url": "two"})
	eventually(t, patience, "a change arrives", func() bool { return config() == `{"url":"two"}` })
	if err := d.bucket(streams.BucketConfigs).Delete(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "its end arrives", func() bool { return config() == `{}` })
}

// What runners follow may be made anew while the server is away. Nothing would come of it until its sequences have caught
// up with those that were seen.
func TestBucketsAreReadAnewAfterTheServerWasAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{"a": "cat"}))
	for _, url := range []string{"a", "b", "one"} {
		d.put(streams.BucketConfigs, "p", map[string]any{"url": url})
	}
	r := d.start(nil)
	for n := range 3 {
		d.ask(n)
	}
	d.reported(r, streams.Installed, 2)
	for _, name := range []string{streams.BucketConfigs, streams.BucketInstalls, streams.BucketEnvironments} {
		if err := d.bus.JS.DeleteKeyValue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := streams.Ensure(t.Context(), d.bus.JS, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := d.server.Restart(); err != nil {
		t.Fatal(err)
	}
	d.put(streams.BucketConfigs, "p", map[string]any{"url": "two"})
	d.ask(3)
	d.reported(r, streams.Installed, 3)
	eventually(t, patience, "the configuration in the new bucket counts", func() bool {
		id := d.request("a", `{}`)
		d.ended(id)
		return strings.Contains(d.log(id, logs.Stdout), `"two"`)
	})
}
