package attunetest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// orderly is a pack with an action of two slots that runs until a file tells it to end, and one that fails before its
// third attempt.
func orderly(t *testing.T, dir string) string {
	t.Helper()
	return attunetest.Pack(t, map[string]string{
		"pack.yaml": "name: orderly\nversion: 1.0.0\ndescription: waits and fails\n",
		"actions/wait.yaml": "description: runs until it is told to end\nruntime: shell\nentry_point: wait.sh\nvariables: true\n" +
			"parameters:\n  type: object\n  properties:\n    n: {type: integer}\n  required: [n]\nconcurrency:\n  limit: 2\n",
		"wait.sh": fmt.Sprintf("touch %[1]s/started-$n\nuntil [ -e %[1]s/end-$n ]; do sleep 0.02; done\n", dir),
		"actions/flaky.yaml": "description: succeeds the third time\nruntime: shell\nentry_point: flaky.sh\n" +
			"retry: {attempts: 4, delay: 100ms, on: [failed]}\n",
		"flaky.sh": "echo \"attempt $ATTUNE_ATTEMPT\"\n[ \"$ATTUNE_ATTEMPT\" -ge 3 ]\n",
	})
}

// The scenario that users of other systems were hurt by: at limit 2, of five executions the first two run; when the
// first ends the third starts, then the fourth, then the fifth.
func TestFiveExecutionsAtLimitTwoAndARetriedOne(t *testing.T) {
	t.Parallel()
	dir := attunetest.Shared(t)
	in := attunetest.Start(t, attunetest.Options{})
	if out := in.Run("pack", "install", orderly(t, dir)); out.Code != 0 {
		t.Fatalf("pack install: %+v", out)
	}
	c := in.Client()
	var ids []string
	for n := range 5 {
		accepted, err := c.Run(t.Context(), api.ExecutionRequest{Action: "orderly.wait", Parameters: fmt.Appendf(nil, `{"n": %d}`, n+1)}, "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, accepted.ID)
	}
	awaitRunning(t, dir, c, 1, 2)
	tell(t, dir, 1)
	awaitRunning(t, dir, c, 2, 3)
	tell(t, dir, 3)
	awaitRunning(t, dir, c, 2, 4)
	tell(t, dir, 2)
	awaitRunning(t, dir, c, 4, 5)
	tell(t, dir, 4)
	tell(t, dir, 5)
	var started []time.Time
	for _, id := range ids {
		x, err := c.Wait(t.Context(), id, nil)
		if err != nil || x.Status != streams.Succeeded {
			t.Fatalf("%+v, %v", x, err)
		}
		started = append(started, *x.StartedAt)
	}
	if !slices.IsSortedFunc(started, time.Time.Compare) {
		t.Errorf("started at %v", started)
	}
	checkRetried(t, in)
}

func tell(t *testing.T, dir string, n int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "end-"+strconv.Itoa(n)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// awaitRunning returns when exactly these run.
func awaitRunning(t *testing.T, dir string, c *client.Client, numbers ...int) {
	t.Helper()
	deadline, tick := time.After(attunetest.Patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		running, _, err := c.Executions(t.Context(), client.Filter{"action": "orderly.wait", "status": "running"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for n := 1; n <= 5; n++ {
			_, began := os.Stat(filepath.Join(dir, "started-"+strconv.Itoa(n)))
			_, told := os.Stat(filepath.Join(dir, "end-"+strconv.Itoa(n)))
			if began == nil && told != nil {
				got = append(got, n)
			}
		}
		if len(running) > 2 || len(got) > 2 {
			t.Fatalf("%d run by the API, %v by their own account", len(running), got)
		}
		if len(running) == 2 && slices.Equal(got, numbers) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%v run, want %v", got, numbers)
		}
	}
}

// checkRetried runs what succeeds the third time: its attempts write one log, and whoever follows sees it whole.
func checkRetried(t *testing.T, in *attunetest.Instance) {
	t.Helper()
	const log = "attempt 1\nattempt 2\nattempt 3\n"
	if out := in.Run("run", "orderly.flaky", "--follow"); out.Code != 0 || out.Stdout != log {
		t.Errorf("run --follow: %+v", out)
	}
	all, _, err := in.Client().Executions(t.Context(), client.Filter{"action": "orderly.flaky"}, 0)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	x, err := in.Client().Execution(t.Context(), all[0].ID)
	if err != nil || x.Attempt != 3 || len(x.Previous) != 2 || x.Previous[1].Status != streams.Failed {
		t.Errorf("%+v, %v", x, err)
	}
	if out := in.Run("logs", x.ID); out.Stdout != log {
		t.Errorf("logs: %+v", out)
	}
}
