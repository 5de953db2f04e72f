package attunetest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// edition is a version of a pack whose actions tell which it is: one at once, one when a gate is open, one only in
// the zone eu.
func edition(t *testing.T, version, gate string) string {
	t.Helper()
	const tell = "printf '{\"version\": \"%s\"}' \"$(cat \"${0%/*}/../version\")\" >\"$ATTUNE_RESULT_FILE\"\n"
	return attunetest.Pack(t, map[string]string{
		"pack.yaml":         "name: edition\nversion: " + version + "\ndescription: tells its version\n",
		"version":           version,
		"actions/tell.yaml": "description: tells at once\nruntime: shell\nentry_point: tell.sh\n",
		"actions/tell.sh":   "#!/bin/sh\n" + tell,
		"actions/slow.yaml": "description: tells when it may\nruntime: shell\nentry_point: slow.sh\n",
		"actions/slow.sh":   "#!/bin/sh\nwhile [ ! -e " + gate + " ]; do sleep 0.05; done\n" + tell,
		"actions/eu.yaml":   "description: tells in eu\nruntime: shell\nentry_point: tell.sh\nruns_on: {labels: {zone: eu}}\n",
	})
}

func TestAPackIsUpgradedUnderItsExecutionsAndRolledBack(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(attunetest.Shared(t), "gate")
	in := attunetest.Start(t, attunetest.Options{})
	eu := attunetest.Serve(t, []string{
		"ATTUNE_NATS_URL=" + in.NATSURL, "ATTUNE_NATS_CREDS=" + in.NATSCreds, "ATTUNE_RUNNER_NAME=eu", "ATTUNE_LABELS=zone=eu",
		"ATTUNE_DATA_DIR=" + attunetest.DataDir(t),
	}, "runner")
	eu.AwaitLine(t, `(runner started)`)
	install := func(args ...string) {
		t.Helper()
		if out := in.Run(args...); out.Code != 0 {
			t.Fatalf("%v: %d\n%s%s", args, out.Code, out.Stdout, out.Stderr)
		}
	}
	install("pack", "install", edition(t, "1.0.0", gate))
	if x := runToEnd(t, in, "edition.eu"); !strings.HasPrefix(x.Runner, "eu-") || versionOf(t, x) != "1.0.0" {
		t.Errorf("in eu: %s of %s", x.Result, x.Runner)
	}
	c := in.Client()
	slow, err := c.Run(t.Context(), api.ExecutionRequest{Action: "edition.slow"}, "slow")
	if err != nil {
		t.Fatal(err)
	}
	attunetest.AwaitFacts(t, in.Bus(), "edition.slow", func(facts []streams.Fact) bool { return len(attunetest.Starts(facts)) == 1 })
	install("pack", "install", edition(t, "2.0.0", gate))
	if x := runToEnd(t, in, "edition.tell"); versionOf(t, x) != "2.0.0" {
		t.Errorf("after the upgrade: %s", x.Result)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if x, err := c.Wait(t.Context(), slow.ID, nil); err != nil || versionOf(t, x) != "1.0.0" {
		t.Errorf("what ran during the upgrade: %s, %v", x.Result, err)
	}
	install("pack", "rollback", "edition")
	if x := runToEnd(t, in, "edition.tell"); versionOf(t, x) != "1.0.0" {
		t.Errorf("after the rollback: %s", x.Result)
	}
	if code := eu.End(t, syscall.SIGTERM); code != 0 {
		t.Errorf("the runner ended with status %d", code)
	}
	if out := in.Run("run", "edition.eu", "--wait"); out.Code != 1 || !strings.Contains(out.Stderr, "label zone=eu") {
		t.Errorf("without a runner in eu: %+v", out)
	}
}

// A version whose environment cannot be built is never in service, and who installs it sees why.
func TestAVersionThatCannotBeBuiltLeavesTheOneBeforeInService(t *testing.T) {
	t.Parallel()
	in := attunetest.Start(t, attunetest.Options{Env: []string{"ATTUNE_PIP_FIND_LINKS=" + t.TempDir(), "ATTUNE_PIP_INDEX_URL=http://127.0.0.1:1/simple"}})
	files := map[string]string{
		"pack.yaml":         "name: lib\nversion: 1.0.0\ndescription: needs nothing yet\n",
		"actions/tell.yaml": "description: tells\nruntime: python\nentry_point: tell.py:run\n",
		"actions/tell.py":   "def run():\n    return {'version': '1.0.0'}\n",
	}
	if out := in.Run("pack", "install", attunetest.Pack(t, files)); out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	files["pack.yaml"] = "name: lib\nversion: 2.0.0\ndescription: needs a library that is nowhere\n"
	files["requirements.txt"] = "nowhere-to-be-had==1.0\n"
	out := in.Run("pack", "install", attunetest.Pack(t, files))
	if out.Code != 1 || !strings.Contains(out.Stderr, "nowhere-to-be-had") || !strings.Contains(out.Stderr, "what was in service before still is") {
		t.Errorf("%+v", out)
	}
	if x := runToEnd(t, in, "lib.tell"); versionOf(t, x) != "1.0.0" {
		t.Errorf("after the failure: %s", x.Result)
	}
	status := in.Run("pack", "status", "lib", "-o", "json")
	if !strings.Contains(status.Stdout, `"failed"`) || !strings.Contains(status.Stdout, "nowhere-to-be-had") {
		t.Errorf("%+v", status)
	}
}

func runToEnd(t *testing.T, in *attunetest.Instance, action string) api.Execution {
	t.Helper()
	out := in.Run("run", action, "--wait", "--json")
	var x api.Execution
	if err := json.Unmarshal([]byte(out.Stdout), &x); err != nil || out.Code != 0 {
		t.Fatalf("%s: %d, %v\n%s%s", action, out.Code, err, out.Stdout, out.Stderr)
	}
	return x
}

func versionOf(t *testing.T, x api.Execution) string {
	t.Helper()
	var result struct{ Version string }
	if err := json.Unmarshal(x.Result, &result); err != nil {
		t.Fatalf("result %s of %s, which is %s: %v", x.Result, x.ID, x.Status, err)
	}
	return result.Version
}
