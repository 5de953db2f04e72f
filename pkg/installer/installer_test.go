package installer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

func TestAVersionGoesInServiceWhenAllRunnersHaveIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	w.start(func(c *Config) { c.Registerer = registry })
	w.lives("a")
	w.lives("b")
	w.lives("c", func(r *streams.RunnerInfo) { r.Pool = "other" })
	one := w.record(tool("1.0.0", "python"), definitions.SwitchAll)
	if in := w.told(one); in.Pack != "tool" || in.PackVersion != "1.0.0" || !slices.Equal(in.Pools, []string{"default"}) || in.Generation != 1 {
		t.Errorf("runners are told %+v", in)
	}
	w.reports("a", one, streams.Installed)
	w.reports("b", one, streams.Installing)
	if v, err := w.store.Version(t.Context(), "tool", one.Digest); err != nil || v.State != definitions.VersionBuilding {
		t.Errorf("before all have it: %+v, %v", v, err)
	}
	w.reports("b", one, streams.Installed)
	w.becomes(one, definitions.VersionActive)
	if got := w.keys(streams.BucketPlacements); len(got) != 1 {
		t.Errorf("placements %q", got)
	}
	two := w.record(tool("2.0.0", "python"), definitions.SwitchAll)
	w.told(two)
	w.reports("a", two, streams.InstallError)
	failed := w.becomes(two, definitions.VersionFailed)
	if failed.Runner != "a" || failed.Error != "pip ended with status 1" || len(failed.Tail) != 1 || w.inService() != "1.0.0" {
		t.Errorf("failed %+v, in service %s", failed, w.inService())
	}
	two = w.record(tool("2.0.0", "python"), definitions.SwitchAll)
	if in := w.told(two); in.Generation != 2 {
		t.Errorf("tried again %+v", in)
	}
	w.reports("a", two, streams.Installed)
	w.reports("b", two, streams.Installed)
	w.becomes(two, definitions.VersionActive)
	w.eventually("installs are counted", func() bool { return counted(t, registry) == "active 2, failed 1" })
}

// counted gives the installs by their results.
func counted(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, family := range all {
		if family.GetName() != "attune_pack_installs_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			parts = append(parts, fmt.Sprintf("%s %g", m.GetLabel()[0].GetValue(), m.GetCounter().GetValue()))
		}
	}
	return strings.Join(parts, ", ")
}

func TestRunnersComeAndGoWhileAVersionIsOnItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.lives("a")
	dies := w.lives("b")
	one := w.record(tool("1.0.0", "shell"), definitions.SwitchAll)
	w.told(one)
	w.lives("late")
	w.reports("a", one, streams.Installed)
	dies()
	if v, err := w.store.Version(t.Context(), "tool", one.Digest); err != nil || v.State != definitions.VersionBuilding {
		t.Errorf("before the one that came has it: %+v, %v", v, err)
	}
	w.reports("late", one, streams.Installed)
	w.becomes(one, definitions.VersionActive)
}

func TestNobodyToWaitForIsNoReasonToWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.becomes(w.record(tool("1.0.0", "python"), definitions.SwitchAll), definitions.VersionActive)
	w.lives("old", func(r *streams.RunnerInfo) { r.Installs = false })
	w.becomes(w.record(tool("2.0.0", "python"), definitions.SwitchAll), definitions.VersionActive)
	w.lives("silent")
	w.becomes(w.record(tool("3.0.0", "python"), definitions.SwitchNow), definitions.VersionActive)
	never := w.becomes(w.record(tool("4.0.0", "python"), definitions.SwitchNever), definitions.VersionBuilding)
	w.told(never)
	w.reports("silent", never, streams.Installed)
	w.becomes(never, definitions.VersionReady)
	if _, err := w.store.Release(t.Context(), "tool"); err != nil {
		t.Fatal(err)
	}
	w.becomes(never, definitions.VersionActive)
	if _, err := w.store.Rollback(t.Context(), "tool", ""); err != nil {
		t.Fatal(err)
	}
	w.eventually("3.0.0 is in service again", func() bool { return w.inService() == "3.0.0" })
}

func TestAVersionThatNobodyCanRunFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.lives("bare", func(r *streams.RunnerInfo) { r.Runtimes = nil })
	v := w.becomes(w.record(tool("1.0.0", "python"), definitions.SwitchAll), definitions.VersionFailed)
	if !strings.Contains(v.Error, "bare lacks python >=3.1") {
		t.Errorf("%+v", v)
	}
}

func TestARunnerThatNeverReportsFailsAVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(func(c *Config) { c.BuildTimeout = 500*time.Millisecond - allowance })
	w.lives("silent")
	v := w.becomes(w.record(tool("1.0.0", "shell"), definitions.SwitchAll), definitions.VersionFailed)
	if v.Runner != "silent" || !strings.Contains(v.Error, "reported nothing") {
		t.Errorf("%+v", v)
	}
}

func TestAnotherCopyGoesOnWhereOneStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lives("a")
	stop := w.start()
	one := w.record(tool("1.0.0", "shell"), definitions.SwitchAll)
	w.told(one)
	w.start() // it waits for the lease
	stop()
	w.reports("a", one, streams.Installed)
	w.becomes(one, definitions.VersionActive)
}

// After an outage of everything runners need a moment to show themselves.
func TestWhoTakesOverDoesNotTakeSilenceForAnEmptyPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.record(tool("1.0.0", "shell"), definitions.SwitchAll)
	w.start(func(c *Config) { c.Settle = tolerance })
	w.told(one)
	w.lives("a")
	if v, err := w.store.Version(t.Context(), "tool", one.Digest); err != nil || v.State != definitions.VersionBuilding {
		t.Errorf("%+v, %v", v, err)
	}
	w.reports("a", one, streams.Installed)
	w.becomes(one, definitions.VersionActive)
}

func TestWithoutPostgreSQLADecisionWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.lives("a")
	one := w.record(tool("1.0.0", "shell"), definitions.SwitchAll)
	two := w.record(files{"pack.yaml": "name: other\nversion: 1.0.0\n", "actions/do.yaml": "runtime: shell\nentry_point: do.sh\n", "actions/do.sh": "#!/bin/sh\n"}, definitions.SwitchAll)
	w.told(one)
	w.told(two)
	w.link.Cut()
	w.reports("a", one, streams.Installed)
	w.reports("a", two, streams.InstallError)
	w.link.Restore()
	w.becomes(one, definitions.VersionActive)
	w.becomes(two, definitions.VersionFailed)
}

func TestAVersionWithoutItsArchiveFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	in, _ := w.pack(tool("1.0.0", "shell"))
	w.put(in.Digest, []byte("this is no archive"))
	r, err := w.store.Record(t.Context(), in, definitions.SwitchNow)
	if err != nil {
		t.Fatal(err)
	}
	if v := w.becomes(r.Version, definitions.VersionFailed); !strings.Contains(v.Error, "cannot be read") {
		t.Errorf("%+v", v)
	}
}

// finished puts an execution into history, which is over when finish is called.
func (w *world) finished(digest string) (finish func()) {
	w.t.Helper()
	var id string
	err := w.db.QueryRow(w.t.Context(), `INSERT INTO executions (id, action, pack_digest, status, attempt, changed_at, requested_at, stream_epoch, fact_seqs)
		VALUES (gen_random_uuid(), 'tool.do', $1, 'requested', 1, now(), now(), 1, '{1}') RETURNING id::text`, digest).Scan(&id)
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		if _, err := w.db.Exec(w.t.Context(), "UPDATE executions SET status = 'canceled', ended_at = now() WHERE id = $1::uuid", id); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) archived(digest string) bool {
	w.t.Helper()
	objects, err := w.bus.JS.ObjectStore(w.t.Context(), streams.ObjectsPacks)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = objects.GetInfo(w.t.Context(), digest)
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		w.t.Fatal(err)
	}
	return err == nil
}

func TestVersionsGoAfterTheirLastUseWithAllThatBelongsToThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(func(c *Config) { c.Grace = 100 * time.Millisecond })
	var all []definitions.Version
	for i := range 3 {
		all = append(all, w.becomes(w.record(tool(fmt.Sprintf("%d.0.0", i+1), "python"), definitions.SwitchAll), definitions.VersionActive))
		w.reports("a", all[i], streams.Installed)
		if i == 0 {
			w.finished(all[0].Digest)
		}
	}
	w.eventually("all placements are there", func() bool { return len(w.keys(streams.BucketPlacements)) == 3 })
	if _, err := w.db.Exec(t.Context(), "UPDATE executions SET status = 'canceled', ended_at = now()"); err != nil {
		t.Fatal(err)
	}
	w.eventually("1.0.0 is removed", func() bool {
		_, err := w.store.Version(t.Context(), "tool", all[0].Digest)
		return errors.Is(err, definitions.ErrNoVersion)
	})
	w.eventually("what belongs to 1.0.0 is removed", func() bool {
		return !w.archived(all[0].Digest) && len(w.keys(streams.BucketPlacements)) == 2 && len(w.keys(streams.BucketEnvironments)) == 2
	})
	if got := w.keys(streams.BucketInstalls); len(got) != 2 || slices.Contains(got, all[0].Digest) || !w.archived(all[1].Digest) || !w.archived(all[2].Digest) {
		t.Errorf("installs %q", got)
	}
	finish := w.finished(all[2].Digest)
	if _, err := w.store.Uninstall(t.Context(), "tool", false); err != nil {
		t.Fatal(err)
	}
	w.eventually("2.0.0 is removed", func() bool { return !w.archived(all[1].Digest) })
	if got := w.keys(streams.BucketInstalls); !slices.Equal(got, []string{all[2].Digest}) {
		t.Errorf("while an execution needs 3.0.0 installs are %q", got)
	}
	finish()
	w.eventually("nothing is left", func() bool {
		return !w.archived(all[2].Digest) && len(w.keys(streams.BucketInstalls))+len(w.keys(streams.BucketPlacements))+len(w.keys(streams.BucketEnvironments)) == 0
	})
}

// The recorder may lag: what history does not know yet may need a version.
func TestNothingIsRemovedBeforeTheRecorderHasCaughtUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(func(c *Config) { c.Grace = 100 * time.Millisecond })
	var all []definitions.Version
	subject, err := streams.ExecutionSubject("tool", "do", "0199f3a0-7d1c-7000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		all = append(all, w.becomes(w.record(tool(fmt.Sprintf("%d.0.0", i+1), "shell"), definitions.SwitchAll), definitions.VersionActive))
		if i == 0 {
			if _, err := w.bus.JS.Publish(t.Context(), subject, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.eventually("1.0.0 is unused as far as history knows", func() bool {
		unused, err := w.store.Unused(t.Context(), 500*time.Millisecond)
		return err == nil && len(unused) == 1
	})
	if !w.archived(all[0].Digest) {
		t.Error("it was removed")
	}
	c, err := w.bus.JS.Consumer(t.Context(), streams.Executions, streams.ConsumerRecorder)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next()
	if err == nil {
		err = m.DoubleAck(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("it is removed", func() bool { return !w.archived(all[0].Digest) })
}

func TestBucketsBecomeWhatPostgreSQLHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.record(tool("1.0.0", "python"), definitions.SwitchNow)
	w.set(streams.BucketInstalls, strings.Repeat("0", 64), streams.Install{Version: 1, Pack: "gone", Generation: 1})
	cobol := streams.Placement{Version: 1, Pool: "default", Runtimes: map[string]string{"cobol": ""}}
	w.set(streams.BucketPlacements, placement.Token(cobol), cobol)
	w.set(streams.BucketConfigs, "gone", map[string]int{"a": 1})
	w.start()
	w.becomes(one, definitions.VersionActive)
	if err := w.store.SetPackConfig(t.Context(), "tool", json.RawMessage(`{"level": 3}`)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the buckets are right", func() bool {
		e, err := w.kv(streams.BucketConfigs).Get(t.Context(), "tool")
		return err == nil && sameConfig(e.Value(), json.RawMessage(`{"level":3}`)) && slices.Equal(w.keys(streams.BucketConfigs), []string{"tool"}) &&
			slices.Equal(w.keys(streams.BucketInstalls), []string{one.Digest}) && len(w.keys(streams.BucketPlacements)) == 1
	})
	for _, bucket := range []string{streams.BucketInstalls, streams.BucketPlacements, streams.BucketConfigs} {
		for _, key := range w.keys(bucket) {
			if err := w.kv(bucket).Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.eventually("what was lost is back", func() bool {
		return len(w.keys(streams.BucketInstalls)) == 1 && len(w.keys(streams.BucketPlacements)) == 1 && len(w.keys(streams.BucketConfigs)) == 1
	})
}
