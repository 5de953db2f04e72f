package attunetest_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// nobody is a user of every Linux machine who is nobody else.
const nobody = 65534

func TestAnActionReachesNothingThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	t.Run("with the user of this test", func(t *testing.T) {
		t.Parallel()
		probeEverything(t, attunetest.Options{})
	})
	t.Run("with an ordinary user", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("the test before was that one")
		}
		probeEverything(t, attunetest.Options{User: nobody})
	})
}

// probeEverything has one action try everything, beside another that holds a secret.
func probeEverything(t *testing.T, o attunetest.Options) {
	t.Helper()
	credentials := credentialsFile(t, o.User)
	o.Env = append(o.Env, "ATTUNE_TEST_SECRET=in-the-environment-of-the-runner")
	in := attunetest.Start(t, o)
	if out := in.Run("pack", "install", proberPack(t)); out.Code != 0 {
		t.Fatalf("pack install: %+v", out)
	}
	if out := in.Feed("canary-of-the-neighbour", "secret", "set", "CANARY"); out.Code != 0 {
		t.Fatalf("secret set: %+v", out)
	}
	gate := filepath.Join(attunetest.Shared(t), "gate")
	neighbour := runNeighbour(t, in, gate)
	spareWaits(t, in)
	everybody := append(family(t, in.PID()), os.Getpid())
	parameters := map[string]any{
		"data": in.Dir, "nats": strings.TrimPrefix(in.NATSURL, "nats://"), "postgres": postgresSocket(t, in), "abstract": abstractSocket(t),
		"files": []string{credentials, in.NATSCreds},
	}
	for action, pids := range map[string][]int{"prober.probe": everybody, "prober.spare": slices.DeleteFunc(slices.Clone(everybody), isSpare)} {
		parameters["pids"] = pids
		text, err := json.Marshal(parameters)
		if err != nil {
			t.Fatal(err)
		}
		judge(t, end(t, in, action, text))
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if x := wait(t, in, neighbour); x.Status != streams.Succeeded {
		t.Errorf("the neighbour did not live through it: %s, %+v", x.Status, x.Error)
	}
}

// spareWaits returns when a process waits for prober.spare.
func spareWaits(t *testing.T, in *attunetest.Instance) {
	t.Helper()
	deadline, tick := time.After(attunetest.Patience), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for {
		if runners, _, err := in.Client().Runners(t.Context(), 0); err == nil && len(runners) == 1 && runners[0].Spares == 1 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no process waits for prober.spare")
		}
	}
}

// isSpare tells whether a process waits for prober.spare, or has.
func isSpare(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err != nil || strings.Contains(string(line), "spare.py")
}

// spareProber becomes the prober, in the very process that waited.
const spareProber = `import json, os
loaded = os.environ["ATTUNE_EXECUTION_ID"]
def run(execution, **parameters):
    assert loaded != execution["id"], "it did not wait"
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prober")
    read, write = os.pipe()
    os.write(write, json.dumps({"parameters": parameters, "secrets": {}}).encode())
    os.close(write)
    os.dup2(read, 0)
    os.close(read)
    os.execv(program, [program])
`

// judge holds every try to having been refused.
func judge(t *testing.T, x api.Execution) {
	t.Helper()
	var tries map[string]string
	if err := json.Unmarshal(x.Result, &tries); err != nil || x.Status != streams.Succeeded {
		t.Fatalf("%s, %+v, %v", x.Status, x.Error, err)
	}
	for name, came := range tries {
		if !strings.HasPrefix(came, "refused: ") {
			t.Errorf("%s: %s", name, came)
		}
	}
	if len(tries) < 100 {
		t.Errorf("%d tries are too few to mean anything", len(tries))
	}
	t.Logf("%d tries", len(tries))
}

func proberPack(t *testing.T) string {
	t.Helper()
	program, err := attunetest.Build("github.com/attune/attune/services/attune/attunetest/prober")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(program) //nolint:gosec // it was just built
	if err != nil {
		t.Fatal(err)
	}
	return attunetest.Pack(t, map[string]string{
		"pack.yaml":              "name: prober\nversion: 1.0.0\ndescription: tries everything\n",
		"actions/probe.yaml":     "description: tries everything\nruntime: native\nentry_point: prober\n",
		"actions/neighbour.yaml": "description: has a secret\nruntime: native\nentry_point: prober\nsecrets: [CANARY]\n",
		"actions/prober":         string(binary),
		"actions/spare.yaml":     "description: tries everything\nruntime: python\nentry_point: spare.py:run\nwarm: 1\n",
		"actions/spare.py":       spareProber,
	})
}

// credentialsFile is a file of Attune's user outside of everything that Attune keeps closed but for its permissions.
func credentialsFile(t *testing.T, user uint32) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	if user != 0 {
		if err := os.Chown(file, int(user), int(user)); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// runNeighbour starts an action that holds a secret until the gate is there.
func runNeighbour(t *testing.T, in *attunetest.Instance, gate string) string {
	t.Helper()
	accepted, err := in.Client().Run(t.Context(), api.ExecutionRequest{Action: "prober.neighbour", Parameters: fmt.Appendf(nil, `{"wait": %q}`, gate)}, "")
	if err != nil {
		t.Fatal(err)
	}
	attunetest.AwaitFacts(t, in.Bus(), "prober.neighbour", func(facts []streams.Fact) bool { return len(attunetest.Starts(facts)) == 1 })
	return accepted.ID
}

// end runs an action to its end.
func end(t *testing.T, in *attunetest.Instance, action string, parameters []byte) api.Execution {
	t.Helper()
	accepted, err := in.Client().Run(t.Context(), api.ExecutionRequest{Action: action, Parameters: parameters}, "")
	if err != nil {
		t.Fatal(err)
	}
	return wait(t, in, accepted.ID)
}

func wait(t *testing.T, in *attunetest.Instance, id string) api.Execution {
	t.Helper()
	x, err := in.Client().Wait(t.Context(), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// family lists a process with all its descendants: guards, PostgreSQL, rooms and actions.
func family(t *testing.T, root int) []int {
	t.Helper()
	all := []int{root}
	for i := 0; i < len(all); i++ {
		pid := strconv.Itoa(all[i])
		tasks, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
		for _, task := range tasks {
			list, _ := os.ReadFile(filepath.Clean(task)) // it may have gone
			for child := range strings.FieldsSeq(string(list)) {
				if n, err := strconv.Atoi(child); err == nil {
					all = append(all, n)
				}
			}
		}
	}
	guards := 0
	for _, pid := range all {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // likewise
		if strings.HasPrefix(string(line), process.GuardName) {
			guards++
		}
	}
	if guards == 0 || len(all) < 3 {
		t.Errorf("%d processes, %d guards: the family is not whole", len(all), guards)
	}
	return all
}

// postgresSocket finds the socket of the instance's private server.
func postgresSocket(t *testing.T, in *attunetest.Instance) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(filepath.Join(in.Dir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "run", ".s.PGSQL.*[0-9]"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	return found[0]
}

// abstractSocket listens on a socket that has no file.
func abstractSocket(t *testing.T) string {
	t.Helper()
	name := "attune-prober-" + strconv.Itoa(os.Getpid()) + t.Name()[len(t.Name())-4:]
	l, err := net.Listen("unix", "@"+name) //nolint:noctx // it is there at once
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // nobody is connected
	return name
}
