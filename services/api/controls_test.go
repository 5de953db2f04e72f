package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

// control reads what operators said of a scope, and how often.
func (f *fixture) control(scope string) (c streams.QueueControl, revision uint64) {
	f.t.Helper()
	kv, err := f.bus.JS.KeyValue(f.t.Context(), streams.BucketQueues)
	if err != nil {
		f.t.Fatal(err)
	}
	entry, err := kv.Get(f.t.Context(), scope)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := json.Unmarshal(entry.Value(), &c); err != nil {
		f.t.Fatal(err)
	}
	return c, entry.Revision()
}

// say tells something of a scope.
func (f *fixture) say(scope, verb string, body any) wire.QueueStats {
	f.t.Helper()
	return want[wire.QueueStats](f.post("/api/v1/queues/"+scope+"/"+verb, body), http.StatusOK)
}

func TestWhatIsSaidOfAScopeLeavesTheRest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.requestEcho()
	for _, scope := range []string{"demo.slow", "demo", "_all"} {
		for _, step := range []struct {
			verb string
			body any
			want streams.QueueControl
		}{
			{"limit", `{"limit":7}`, streams.QueueControl{Limit: 7}},
			{"pause", nil, streams.QueueControl{Limit: 7, Paused: true}},
			{"drain", nil, streams.QueueControl{Limit: 7, Paused: true, Draining: true, DrainAfter: 1}},
			{"pause", `{}`, streams.QueueControl{Limit: 7, Paused: true, Draining: true, DrainAfter: 1}},
			{"limit", `{"limit":null}`, streams.QueueControl{Paused: true, Draining: true, DrainAfter: 1}},
			{"limit", `{"limit":100000}`, streams.QueueControl{Limit: 100_000, Paused: true, Draining: true, DrainAfter: 1}},
			{"resume", nil, streams.QueueControl{Limit: 100_000}},
		} {
			q := f.say(scope, step.verb, step.body)
			got, _ := f.control(scope)
			ignored := cmpopts.IgnoreFields(streams.QueueControl{}, "Version", "By", "At")
			if diff := cmp.Diff(step.want, got, ignored); diff != "" || got.By == "" || got.At.IsZero() || got.Version != streams.Version {
				t.Errorf("%s %s: %+v %s", scope, step.verb, got, diff)
			}
			if q.Action != scope || q.Paused != got.Paused || q.Draining != got.Draining || got.Limit != 0 && q.Limit != got.Limit {
				t.Errorf("%s %s answered %+v", scope, step.verb, q)
			}
		}
	}
	if q := f.say("demo.slow", "limit", `{"limit":null}`); q.Limit != 1 {
		t.Errorf("the declared limit is back, and the answer is %+v", q)
	}
}

// Of operators who say different things at once, each is heard.
func TestOperatorsAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const each = 8
	var wg sync.WaitGroup
	for range each {
		for verb, body := range map[string]any{"pause": nil, "drain": nil, "limit": `{"limit":3}`} {
			wg.Go(func() { f.say("demo.slow", verb, body) })
		}
	}
	wg.Wait()
	c, revision := f.control("demo.slow")
	if !c.Paused || !c.Draining || c.Limit != 3 || revision != 3*each {
		t.Errorf("after %d changes: %+v", revision, c)
	}
}

// What was queued before a drain is old, and stays so when the drain is said again.
func TestADrainDrawsItsLineOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	line := func() uint64 {
		f.say("demo.echo", "drain", nil)
		c, _ := f.control("demo.echo")
		return c.DrainAfter
	}
	if got := line(); got != 0 {
		t.Errorf("nothing was queued, and the line is %d", got)
	}
	f.say("demo.echo", "resume", nil)
	for range 3 {
		f.requestEcho()
	}
	if got := line(); got != 3 {
		t.Errorf("three were queued, and the line is %d", got)
	}
	f.requestEcho()
	if got := line(); got != 3 {
		t.Errorf("said again, the line is %d", got)
	}
	f.say("demo.echo", "resume", nil)
	if got := line(); got != 4 {
		t.Errorf("said anew, the line is %d", got)
	}
}

func TestAPauseForATimeEndsThen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	before := time.Now()
	q := f.say("demo", "pause", `{"for":"90m"}`)
	c, _ := f.control("demo")
	if c.PausedUntil == nil || c.PausedUntil.Before(before.Add(90*time.Minute)) || c.PausedUntil.After(time.Now().Add(90*time.Minute)) {
		t.Errorf("paused until %v", c.PausedUntil)
	}
	if q.PausedUntil == nil || !q.PausedUntil.Equal(*c.PausedUntil) {
		t.Errorf("answered %+v", q)
	}
	f.say("demo", "pause", nil)
	if c, _ := f.control("demo"); !c.Paused || c.PausedUntil != nil {
		t.Errorf("paused without an end: %+v", c)
	}
	f.say("demo", "pause", `{"for":"1ns"}`)
	f.say("demo", "limit", `{"limit":1}`)
	if c, _ := f.control("demo"); c.Paused || c.PausedUntil != nil {
		t.Errorf("a pause that has ended is carried on: %+v", c)
	}
}

func TestWrongControlsNameTheField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, text := range []string{"0s", "-1h", "720h1ns", "soon", "2", "2d", "1e9h"} {
		f.post("/api/v1/queues/demo.slow/pause", fmt.Sprintf(`{"for":%q}`, text)).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "for")
	}
	f.post("/api/v1/queues/demo.slow/pause", `{"for":2}`).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "for")
	f.post("/api/v1/queues/demo.slow/pause", `{"until":"x"}`).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "until")
	for _, limit := range []string{"0", "-1", "100001", "1.5", `"5"`, "true", "1e30"} {
		f.post("/api/v1/queues/demo.slow/limit", `{"limit":`+limit+`}`).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "limit")
	}
	f.post("/api/v1/queues/demo.slow/limit", `{}`).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "limit")
	f.post("/api/v1/queues/demo.slow/limit", nil).refused(http.StatusBadRequest, wire.CodeInvalidRequest)
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketQueues)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := kv.Keys(t.Context()); len(keys) != 0 {
		t.Errorf("something was said of %v, %v", keys, err)
	}
}

// A scope is real when it is installed, when somebody waits or runs in it, or when something was said of it.
func TestOnlyRealScopesAreSteered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.leader(func(r streams.QueueRequest) streams.QueueStats {
		return streams.QueueStats{Action: r.Action, Waiting: strings.Count(r.Action, "gone"), Paused: true} // as all are
	}, nil)
	for _, scope := range []string{"demo.nope", "nope", "_ALL", "_x", "demo.", ".slow", "a.b.c", "%2e%2e", "demo.slow.x", "Demo", "*", "demo.%3e", "a%20b"} {
		for verb, body := range map[string]any{"pause": nil, "resume": nil, "drain": nil, "limit": `{"limit":1}`} {
			f.post("/api/v1/queues/"+scope+"/"+verb, body).refused(http.StatusNotFound, wire.CodeNotFound)
		}
		f.get("/api/v1/actions/"+scope+"/queue-stats").refused(http.StatusNotFound, wire.CodeNotFound)
	}
	kv, err := f.bus.JS.KeyValue(t.Context(), streams.BucketQueues)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "was.here", `{"v":1,"limit":3}`); err != nil {
		t.Fatal(err)
	}
	for _, scope := range []string{"demo.slow", "demo", "_all", "old.gone", "gone", "was.here"} {
		f.say(scope, "resume", nil)
		want[wire.QueueStats](f.get("/api/v1/actions/"+scope+"/queue-stats"), http.StatusOK)
	}
}

// The answer comes when the leader has heard, so that nobody starts after a pause was answered.
func TestAControlIsAnsweredWhenTheLeaderHasHeard(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var asked atomic.Int32
	f.leader(func(r streams.QueueRequest) streams.QueueStats {
		return streams.QueueStats{Action: r.Action, Running: 1, Paused: asked.Add(1) >= 4}
	}, nil)
	if q := f.say("demo.slow", "pause", nil); !q.Paused || q.Running != 1 || asked.Load() != 4 {
		t.Errorf("answered %+v after %d questions", q, asked.Load())
	}
}

func TestControlsReachTheScheduler(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScheduler()
	f.say("demo.slow", "limit", `{"limit":2}`)
	first := want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`), http.StatusAccepted)
	for range 2 {
		want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`), http.StatusAccepted)
	}
	f.move(first.ID, streams.Running) // the next gets its slot when it is claimed
	f.eventually("two have slots", func() bool {
		q := want[wire.QueueStats](f.get("/api/v1/actions/demo.slow/queue-stats"), http.StatusOK)
		return q.Running == 2 && q.Waiting == 1 && q.Limit == 2
	})
	if q := f.say("demo.slow", "limit", `{"limit":null}`); q.Limit != 1 {
		t.Errorf("declared: %+v", q)
	}
	if q := f.say("demo", "drain", nil); !q.Draining || q.Waiting != 1 || q.Running != 2 {
		t.Errorf("draining: %+v", q)
	}
	p := f.post("/api/v1/executions", `{"action":"demo.slow"}`).refused(http.StatusConflict, wire.CodeQueueDraining)
	if p.Queue == nil || p.Queue.Waiting < 1 || p.Execution == "" {
		t.Errorf("refused with %+v", p)
	}
	f.say("demo", "resume", nil)
	want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`), http.StatusAccepted)
}
