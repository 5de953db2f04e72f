package attunetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) {
	attunetest.Overlap()
	attunetest.Main(m)
}

// probe is a pack whose action notes that it runs, in a file that all executions share, and that another ran
// meanwhile, should that be so: it may run once at a time.
func probe(t *testing.T, file string) string {
	t.Helper()
	return attunetest.Pack(t, map[string]string{
		"pack.yaml":          "name: probe\nversion: 1.0.0\ndescription: notes what runs\n",
		"triggers/ping.yaml": "description: asks for a note\nwebhook:\n  scheme: none\n  allow_unauthenticated: true\n",
		"rules/note.yaml":    "trigger: probe.ping\nwhen: event.payload.n >= 0\naction: probe.note\nparameters:\n  n: ${{ event.payload.n }}\n",
		"actions/note.yaml": "description: notes that it runs\nruntime: shell\nentry_point: note.sh\nvariables: true\n" +
			"parameters:\n  type: object\n  properties:\n    n: {type: integer}\n  required: [n]\n" +
			"concurrency:\n  limit: 1\n",
		"note.sh": fmt.Sprintf("mkdir %[1]s.lock || echo overlap >>%[1]s\necho \"$n\" >>%[1]s\necho \"note $n\"\nsleep 0.02\nrmdir %[1]s.lock\n"+
			"printf '{\"noted\": %%s}' \"$n\" >\"$ATTUNE_RESULT_FILE\"\n", file),
		"actions/rest.yaml": "description: runs until it is ended\nruntime: shell\nentry_point: rest.sh\n",
		"rest.sh":           "sleep 1000 & sleep 1000\n",
	})
}

// startProbe starts an instance with the pack, and gives the file that its action writes.
func startProbe(t *testing.T, o attunetest.Options) (in *attunetest.Instance, file string) {
	t.Helper()
	file = attunetest.SharedFile(t, "notes")
	in = attunetest.Start(t, o)
	if out := in.Run("pack", "install", probe(t, file)); out.Code != 0 {
		t.Fatalf("pack install: %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	return in, file
}

func notes(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

func numbers(from, to int) []string {
	var all []string
	for n := from; n < to; n++ {
		all = append(all, strconv.Itoa(n))
	}
	return all
}

func ping(n int) []byte { return fmt.Appendf(nil, `{"n": %d}`, n) }

// publish publishes as the nats command line does: plain JSON, nothing awaited.
func publish(t *testing.T, in *attunetest.Instance, from, to int) {
	t.Helper()
	b := in.Bus()
	for n := from; n < to; n++ {
		if err := b.Conn.Publish("attune.event.probe.ping", ping(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

func post(t *testing.T, url string, body []byte) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // nothing is read
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("POST %s: %s", url, res.Status)
	}
}

func TestEventsByEveryWayInRunInOrderAndAreExplained(t *testing.T) {
	t.Parallel()
	in, file := startProbe(t, attunetest.Options{})
	c, ctx := in.Client(), t.Context()
	publish(t, in, 0, 10)
	attunetest.AwaitFacts(t, in.Bus(), "probe.note", attunetest.Ended(10))
	for n := 10; n < 20; n++ {
		post(t, in.APIURL+"/api/v1/webhooks/probe/ping", ping(n))
	}
	accepted, err := c.Publish(ctx, api.EventRequest{Trigger: "probe.ping", Payload: ping(20)})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, in, -1, 0) // matches no rule
	facts := attunetest.AwaitFacts(t, in.Bus(), "probe.note", attunetest.Ended(21))
	if got := notes(t, file); !slices.Equal(got, numbers(0, 21)) {
		t.Errorf("ran in the order %v", got)
	}
	for _, f := range attunetest.Ends(facts) {
		if f.Status != streams.Succeeded {
			t.Errorf("execution %s: %s %+v", f.ID, f.Status, f.Error)
		}
	}
	checkEvent(t, in, accepted.ID)
	checkUnmatched(t, in)
}

// checkEvent follows an event to its execution, as a user would who wants to know what came of it.
func checkEvent(t *testing.T, in *attunetest.Instance, id string) {
	t.Helper()
	c, ctx := in.Client(), t.Context()
	e, err := c.Event(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Decisions) != 1 || e.Decisions[0].Outcome != streams.Matched {
		t.Fatalf("event %+v", e)
	}
	x, err := c.Wait(ctx, e.Decisions[0].Execution, nil)
	if err != nil {
		t.Fatal(err)
	}
	var result map[string]int
	if err := json.Unmarshal(x.Result, &result); err != nil || result["noted"] != 20 {
		t.Errorf("result %s, %v", x.Result, err)
	}
	if out := in.Run("logs", x.ID); out.Code != 0 || out.Stdout != "note 20\n" {
		t.Errorf("logs: %+v", out)
	}
}

// checkUnmatched asks why nothing happened about the event that no rule wanted.
func checkUnmatched(t *testing.T, in *attunetest.Instance) {
	t.Helper()
	c := in.Client()
	events, _, err := c.Events(t.Context(), map[string]string{"trigger": "probe.ping"}, 1)
	if err != nil || len(events) != 1 {
		t.Fatalf("events: %v, %v", events, err)
	}
	e, err := c.Event(t.Context(), events[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Decisions) != 1 || e.Decisions[0].Outcome != streams.NotMatched || !strings.Contains(e.Decisions[0].Reason, "event.payload.n") {
		t.Errorf("event that nothing matched: %+v", e)
	}
}

func TestAPowerFailureLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const events = 60
	in, file := startProbe(t, attunetest.Options{})
	publish(t, in, 0, events)
	for _, ended := range []int{5, 25} {
		attunetest.AwaitFacts(t, in.Bus(), "probe.note", attunetest.Ended(ended))
		in.Kill()
		in.Restart()
	}
	facts := attunetest.AwaitFacts(t, in.Bus(), "probe.note", attunetest.Ended(events))
	requested, started := ids(attunetest.Requests(facts)), ids(attunetest.Starts(facts))
	if !slices.Equal(requested, started) {
		t.Errorf("requested in the order %v\nstarted in the order %v", requested, started)
	}
	// What ran when the power failed may have been cut before its note; its execution has ended as lost.
	lost := 0
	for _, f := range attunetest.Ends(facts) {
		if f.Status == streams.Lost {
			lost++
		}
	}
	got := slices.DeleteFunc(notes(t, file), func(s string) bool { return s == "overlap" })
	if !slices.IsSortedFunc(got, byNumber) || len(slices.Compact(slices.Clone(got))) != len(got) || len(got) < events-lost || lost > 2 {
		t.Errorf("%d lost, notes %v", lost, got)
	}
	if history, _, err := in.Client().Executions(t.Context(), map[string]string{"action": "probe.note"}, 0); err != nil || len(history) != events {
		t.Errorf("history holds %d executions, %v", len(history), err)
	}
}

func ids(facts []streams.Fact) []string {
	var all []string
	for _, f := range facts {
		all = append(all, f.ID)
	}
	return all
}

func byNumber(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x - y
}

func TestACleanStopLeavesNoProcessAndTheNextStartIsQuick(t *testing.T) {
	t.Parallel()
	in, _ := startProbe(t, attunetest.Options{Env: []string{"ATTUNE_DRAIN=200ms", "ATTUNE_GRACE=100ms"}})
	runRest(t, in)
	if code := in.Stop(); code != 0 {
		t.Errorf("status %d after a clean stop", code)
	}
	if left := in.Processes(); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
	if _, err := os.Stat(filepath.Join(in.Dir, "attune.json")); err == nil {
		t.Error("attune.json is still there")
	}
	in.Restart()
	attunetest.AwaitFacts(t, in.Bus(), "probe.rest", attunetest.Ended(1))
}

func TestNoProcessOutlivesAKill(t *testing.T) {
	t.Parallel()
	in, _ := startProbe(t, attunetest.Options{})
	runRest(t, in)
	in.Kill()
	in.AwaitNoProcess()
	in.Restart()
	facts := attunetest.AwaitFacts(t, in.Bus(), "probe.rest", attunetest.Ended(1))
	if end := attunetest.Ends(facts)[0]; end.Status != streams.Lost {
		t.Errorf("what ran when it was killed ended as %s", end.Status)
	}
}

// runRest returns when an execution runs that does not end by itself.
func runRest(t *testing.T, in *attunetest.Instance) {
	t.Helper()
	if _, err := in.Client().Run(context.Background(), api.ExecutionRequest{Action: "probe.rest"}, "once"); err != nil {
		t.Fatal(err)
	}
	attunetest.AwaitFacts(t, in.Bus(), "probe.rest", func(f []streams.Fact) bool { return len(attunetest.Starts(f)) == 1 })
}
