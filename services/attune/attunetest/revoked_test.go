package attunetest_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// A runner on another machine has credentials of its own. When they are revoked it is cut off, kills what it runs,
// and its executions end by their policy.
func TestTheExecutionsOfARevokedRunnerEnd(t *testing.T) {
	t.Parallel()
	in := attunetest.Start(t, attunetest.Options{})
	creds := filepath.Join(t.TempDir(), "far.creds")
	if out := in.Run("nats", "user", "add", "far", "--role", "runner", "--out", creds); out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	far, err := attunetest.Launch(attunetest.Command(append(attunetest.Environment(), "XDG_CONFIG_HOME="+t.TempDir(),
		"ATTUNE_NATS_URL="+in.NATSURL, "ATTUNE_NATS_CREDS="+creds, "ATTUNE_RUNNER_NAME=far", "ATTUNE_POOL=far",
		"ATTUNE_DATA_DIR="+attunetest.DataDir(t), attunetest.WithoutRuntimes(t, "container", "python", "node")), "serve", "runner"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.End(t, syscall.SIGKILL) })
	far.AwaitLine(t, `(runner started)`)
	c := in.Client()
	pack := attunetest.Pack(t, map[string]string{
		"pack.yaml":         "name: far\nversion: 1.0.0\ndescription: runs far away\n",
		"actions/rest.yaml": "description: runs until it is ended\nruntime: shell\nentry_point: rest.sh\npool: far\n",
		"actions/rest.sh":   "#!/bin/sh\nsleep 1000\n",
	})
	if out := in.Run("pack", "install", pack); out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	accepted, err := c.Run(t.Context(), api.ExecutionRequest{Action: "far.rest"}, "once")
	if err != nil {
		t.Fatal(err)
	}
	attunetest.AwaitFacts(t, in.Bus(), "far.rest", func(facts []streams.Fact) bool { return len(attunetest.Starts(facts)) == 1 })
	if out := in.Run("nats", "user", "revoke", "far"); out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	if x, err := c.Wait(t.Context(), accepted.ID, nil); err != nil || x.Status != streams.Lost {
		t.Errorf("%+v, %v", x, err)
	}
	select {
	case <-far.Ended():
	case <-time.After(attunetest.Patience):
		t.Fatalf("the runner stays:\n%s", far.Said())
	}
	if code, said := far.State().ExitCode(), far.Said(); code != 1 || !strings.Contains(said, "NATS ended the connection for good") {
		t.Errorf("the runner ended with status %d:\n%s", code, said)
	}
}
