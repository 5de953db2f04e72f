package attunetest_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// writers is a pack of actions that write much. Those of the pool own run on a runner that is a process of its own.
func writers(t *testing.T) string {
	t.Helper()
	files := map[string]string{
		"pack.yaml": "name: writers\nversion: 1.0.0\ndescription: write much\n",
		"over.sh":   "head -c 100000 /dev/zero | tr '\\0' a\n",
		"rotate.sh": "seq 1 40000\n",
		"flood.sh":  "head -c 200000000 /dev/zero\n",
		"rest.sh":   "seq 1 40000\nexec sleep 1000\n",
		"last.sh":   "echo hello\n",
	}
	for name, more := range map[string]string{
		"over": "logs: {max_bytes: 65536}\n", "rotate": "logs: {segment_bytes: 65536}\n",
		"last": "logs: {retention: {count: 1}}\n", "flood": "pool: own\nlogs: {max_bytes: 1048576}\n", "rest": "pool: own\nlogs: {segment_bytes: 65536}\n",
	} {
		files["actions/"+name+".yaml"] = "description: writes\nruntime: shell\nentry_point: " + name + ".sh\n" + more
	}
	return attunetest.Pack(t, files)
}

// counted is what two of the actions write.
func counted() string {
	var b strings.Builder
	for i := range 40_000 {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

// ownRunner starts a runner of the pool own, which the test may kill.
func ownRunner(t *testing.T, in *attunetest.Instance) *attunetest.Process {
	t.Helper()
	cmd := attunetest.Command(append(attunetest.Environment(), "XDG_CONFIG_HOME="+t.TempDir(), attunetest.WithoutRuntimes(t, "container", "bun", "deno", "ruby", "perl", "php"),
		"ATTUNE_NATS_URL="+in.NATSURL, "ATTUNE_NATS_CREDS="+filepath.Dir(in.NATSCreds), "ATTUNE_POOL=own", "ATTUNE_RUNNER_NAME=own",
		"ATTUNE_DATA_DIR="+attunetest.DataDir(t)), "serve", "runner")
	p, err := attunetest.Launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.End(t, syscall.SIGKILL)
		if t.Failed() {
			t.Logf("the runner said:\n%s", p.Said())
		}
	})
	p.AwaitLine(t, `(serving)`)
	return p
}

func ask(t *testing.T, c *client.Client, action string) string {
	t.Helper()
	return askAs(t, c, action, "of the test: "+action)
}

// askAs asks for an execution under a key: it is another for another key.
func askAs(t *testing.T, c *client.Client, action, key string) string {
	t.Helper()
	accepted, err := c.Run(t.Context(), api.ExecutionRequest{Action: "writers." + action}, key)
	if err != nil {
		t.Fatal(err)
	}
	return accepted.ID
}

func ended(t *testing.T, c *client.Client, id string, want streams.Status) api.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), attunetest.Patience)
	defer cancel()
	x, err := c.Wait(ctx, id, nil)
	if err != nil || x.Status != want {
		t.Fatalf("%+v, %v; want %s", x, err, want)
	}
	return x
}

func stdoutOf(t *testing.T, c *client.Client, id string) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := c.Logs(t.Context(), client.Log{Execution: id, Stream: "stdout"}, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What is promised of output, each by real processes: bounded and marked, in several files, without memory, and not lost
// with its runner.
func TestOutputIsBoundedRotatedAndKept(t *testing.T) {
	t.Parallel()
	in := attunetest.Start(t, attunetest.Options{})
	runner := ownRunner(t, in)
	if out := in.Run("pack", "install", writers(t)); out.Code != 0 {
		t.Fatalf("pack install: %+v", out)
	}
	c := in.Client()
	t.Run("truncated at the limit, marked and flagged", func(t *testing.T) { overLimit(t, in, c) })
	t.Run("several files by rotation", func(t *testing.T) { rotated(t, in, c) })
	t.Run("removed by retention", func(t *testing.T) { removed(t, in, c) })
	t.Run("no memory for what is not kept", func(t *testing.T) { flooded(t, c, runner) })
	t.Run("a runner that is killed loses nothing that was written", func(t *testing.T) { cutOff(t, c, runner) })
}

func overLimit(t *testing.T, in *attunetest.Instance, c *client.Client) {
	t.Helper()
	x := ended(t, c, ask(t, c, "over"), streams.Succeeded)
	if x.Output == nil || !x.Output.Truncated || x.Output.StdoutBytes != 100_000 {
		t.Errorf("output %+v", x.Output)
	}
	if got := stdoutOf(t, c, x.ID); got != strings.Repeat("a", 65536)+"\n[attune: truncated, 34,464 bytes not kept]\n" {
		t.Errorf("%d bytes, at the end %q", len(got), got[max(0, len(got)-80):])
	}
	if out := in.Run("execution", "show", x.ID); !strings.Contains(out.Stdout, "truncated") {
		t.Errorf("nothing says so: %+v", out)
	}
}

func rotated(t *testing.T, in *attunetest.Instance, c *client.Client) {
	t.Helper()
	x := ended(t, c, ask(t, c, "rotate"), streams.Succeeded)
	store, err := in.Bus().JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := store.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		if strings.HasPrefix(o.Name, x.ID+"/stdout.") {
			names = append(names, o.Name)
		}
	}
	slices.Sort(names)
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	var text []byte
	for i, name := range names {
		packed, err := store.GetBytes(t.Context(), name)
		if err != nil || name != fmt.Sprintf("%s/stdout.%04d.zst", x.ID, i) {
			t.Fatalf("object %d is %s: %v", i, name, err)
		}
		if text, err = unpack.DecodeAll(packed, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if want := counted(); len(names) != len(want)/65536+1 || string(text) != want || stdoutOf(t, c, x.ID) != want {
		t.Errorf("%d objects of %d bytes, want %d", len(names), len(text), len(want))
	}
}

func removed(t *testing.T, in *attunetest.Instance, c *client.Client) {
	t.Helper()
	older := ended(t, c, askAs(t, c, "last", "older"), streams.Succeeded).ID
	newer := ended(t, c, askAs(t, c, "last", "newer"), streams.Succeeded).ID
	again, deadline := time.NewTicker(100*time.Millisecond), time.After(attunetest.Patience)
	defer again.Stop()
	for history := (api.Execution{}); history.RemovedAt == nil; { // what has just ended comes to history a little later
		swept := in.Run("retention", "sweep")
		if swept.Code != 0 {
			t.Fatalf("retention sweep: %+v", swept)
		}
		var err error
		if history, err = c.Execution(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		select {
		case <-deadline:
			t.Fatalf("its log is kept: %+v\n%s", history, swept.Stdout)
		case <-again.C:
		}
	}
	if out := in.Run("logs", older); out.Code == 0 || !strings.Contains(out.Stderr, "the log was removed at ") {
		t.Errorf("the removed log: %+v", out)
	}
	if out := in.Run("execution", "show", older); out.Code != 0 || !strings.Contains(out.Stdout, "removed") {
		t.Errorf("the execution: %+v", out)
	}
	if out := in.Run("logs", newer); out.Stdout != "hello\n" {
		t.Errorf("the log that is kept: %+v", out)
	}
}

func flooded(t *testing.T, c *client.Client, runner *attunetest.Process) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", runner.PID()), []byte("5"), 0); err != nil { // its peak begins anew
		t.Fatal(err)
	}
	before := memoryOf(t, runner.PID(), "VmRSS:")
	x := ended(t, c, ask(t, c, "flood"), streams.Succeeded)
	if x.Output == nil || x.Output.StdoutBytes != 200_000_000 {
		t.Errorf("output %+v", x.Output)
	}
	if grown := memoryOf(t, runner.PID(), "VmHWM:") - before; grown > 96<<20 { // with the race detector; without it a tenth
		t.Errorf("the runner grew by %d MiB", grown>>20)
	}
}

func memoryOf(t *testing.T, pid int, line string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\n"+line)
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

func cutOff(t *testing.T, c *client.Client, runner *attunetest.Process) {
	t.Helper()
	id, want := ask(t, c, "rest"), counted()
	seen := &reaching{want: len(want), reached: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Logs(ctx, client.Log{Execution: id, Stream: "stdout", Follow: true}, seen) // it is broken off
	}()
	select {
	case <-seen.reached:
	case <-time.After(attunetest.Patience):
		t.Fatal("its output never came")
	}
	runner.End(t, syscall.SIGKILL)
	x := ended(t, c, id, streams.Lost)
	cancel()
	<-done
	again, deadline := time.NewTicker(100*time.Millisecond), time.After(attunetest.Patience)
	defer again.Stop()
	for {
		got := stdoutOf(t, c, x.ID)
		rest, whole := strings.CutPrefix(got, want)
		if !whole {
			t.Fatalf("%d bytes are left of %d", len(got), len(want))
		}
		if strings.HasPrefix(rest, "[attune: ") { // somebody has completed it, and says that it may be cut
			return
		}
		select {
		case <-deadline:
			t.Fatalf("nothing says that the log may be cut: %q", rest)
		case <-again.C:
		}
	}
}

// reaching tells when so many bytes were written to it.
type reaching struct {
	want    int
	reached chan struct{}
}

func (r *reaching) Write(p []byte) (int, error) {
	if r.want > 0 && r.want <= len(p) {
		close(r.reached)
	}
	r.want -= len(p)
	return len(p), nil
}
