package runner_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

func TestResourcesBoundAnAction(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	action(files, "bomb", "runtime: shell\nresources: {pids: 20}\n", "bomb.sh",
		"#!/bin/sh\ni=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; echo all\n")
	action(files, "hog", "runtime: shell\nresources: {memory: 64m}\n", "hog.sh",
		"#!/bin/sh\nx=$(head -c 300000000 /dev/zero | tr '\\0' x); echo all\n")
	action(files, "after", "runtime: shell\n", "after.sh", "#!/bin/sh\nsleep 0 & wait; echo fine\n")
	d := newDesk(t, files)
	d.start(nil)
	if os.Geteuid() == 0 { // others need control groups that they may divide
		if f := d.ended(d.request("bomb", `{}`)); f.Status != streams.Failed {
			t.Errorf("it started them all: %+v", f)
		}
	}
	if f := d.ended(d.request("hog", `{}`)); f.Status != streams.Failed {
		t.Errorf("it got its memory: %+v", f)
	}
	if f := d.ended(d.request("after", `{}`)); f.Status != streams.Succeeded {
		t.Errorf("the next one suffers: %+v", f.Error)
	}
}

// What an action leaves in its folder is removed by a runner that may be root: it must not be led out of it.
func TestAHostileFolderIsRemovedAndNothingElse(t *testing.T) {
	t.Parallel()
	mine := folder(t)
	write(t, filepath.Join(mine, "keep"), "kept", 0o600)
	d := newDesk(t, scripts(map[string]string{
		"hostile": "ln -s " + mine + " link; ln -s link again; mkdir -p deep/closed; ln -s " + mine + " deep/closed/out; touch deep/closed/file\n" +
			"i=0; while [ $i -lt 2000 ]; do : >many$i; i=$((i+1)); done\n" +
			"d=.; i=0; while [ $i -lt 200 ]; do d=$d/a; i=$((i+1)); done; mkdir -p $d\n" +
			"mkfifo pipe; ln -s / root; chmod 000 deep/closed; chmod 000 deep; chmod 000 .; pwd",
		"result": "ln -s " + filepath.Join(mine, "keep") + ` "$ATTUNE_RESULT_FILE"`,
		"fifo":   `mkfifo "$ATTUNE_RESULT_FILE"`,
	}))
	d.start(nil)
	id := d.request("hostile", `{}`)
	f := d.ended(id) // a runner that is not root cannot look for a result in a folder that is closed
	if f.Status != streams.Succeeded && (os.Geteuid() == 0 || f.Error.Class != streams.ClassBadResult) {
		t.Errorf("%+v", f.Error)
	}
	work := strings.TrimSpace(d.log(id, logs.Stdout))
	eventually(t, patience, "the folder is gone", func() bool { _, err := os.Lstat(work); return errors.Is(err, os.ErrNotExist) })
	for _, name := range []string{"result", "fifo"} {
		if f := d.ended(d.request(name, `{}`)); f.Error == nil || f.Error.Class != streams.ClassBadResult {
			t.Errorf("%s: %+v", name, f.Error)
		}
	}
	if text, err := os.ReadFile(filepath.Join(mine, "keep")); err != nil || string(text) != "kept" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestARunnerSaysWhatItsActionsAreKeptFrom(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{"who": "id -u; readlink /proc/self/ns/pid"}))
	registry := prometheus.NewRegistry()
	d.start(func(c *runner.Config) { c.Registerer = registry })
	id := d.request("who", `{}`)
	d.ended(id)
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Fields(d.log(id, logs.Stdout))
	features := gauges(t, registry)
	if features["files"] != 1 || features["system_calls"] != 1 {
		t.Errorf("%v", features)
	}
	if (features["namespaces"] == 1) == (said[1] == own) || (features["users"] == 1) == (said[0] == strconv.Itoa(os.Geteuid())) {
		t.Errorf("it says %v, and an action is %v", features, said)
	}
}

func TestWithoutIsolationActionsAreAsTheyAlwaysWere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, scripts(map[string]string{"free": "echo free >" + dir + "/file"}))
	registry := prometheus.NewRegistry()
	d.start(func(c *runner.Config) { c.Isolation, c.Registerer = runner.Isolation{None: true}, registry })
	if f := d.ended(d.request("free", `{}`)); f.Status != streams.Succeeded {
		t.Errorf("%+v", f.Error)
	}
	if features := gauges(t, registry); features["files"] != 0 {
		t.Errorf("%v", features)
	}
}

// gauges reads the metric that tells what is active.
func gauges(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "attune_runner_isolation" {
			for _, m := range f.GetMetric() {
				all[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("no attune_runner_isolation")
	}
	return all
}
