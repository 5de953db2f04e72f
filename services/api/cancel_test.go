package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

func (f *fixture) cancel(body string) wire.CancelResult {
	f.t.Helper()
	return want[wire.CancelResult](f.post("/api/v1/executions/cancel", body), http.StatusOK)
}

// cancelAll calls until everything is canceled, and gives the sums. What fitted at first has to be accounted for.
func (f *fixture) cancelAll(body string) (sum wire.CancelResult, calls int) {
	f.t.Helper()
	cursor := ""
	for {
		step := f.cancel(strings.TrimSuffix(body, "}") + fmt.Sprintf(`,"cursor":%q}`, cursor))
		if calls++; calls == 1 {
			sum.Matched = step.Matched
		}
		sum.Canceled += step.Canceled
		if cursor = step.NextCursor; cursor == "" {
			sum.Remaining = step.Remaining
			return sum, calls
		}
		if calls > 100 {
			f.t.Fatalf("it does not end: %+v", step)
		}
	}
}

// many requests n executions of an action and waits until history has them, in the order of request.
func (f *fixture) many(n int, action string) []string {
	f.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"`+action+`","parameters":{"message":"hi"}}`), http.StatusAccepted).ID
	}
	f.recorded(ids[n-1], streams.Requested)
	return ids
}

func (f *fixture) recorded(id string, status streams.Status) {
	f.t.Helper()
	f.eventually("history has it "+string(status), func() bool {
		items := want[wire.Page[wire.Execution]](f.get("/api/v1/executions?limit=500&status="+string(status)), http.StatusOK).Items
		return slices.ContainsFunc(items, func(e wire.Execution) bool { return e.ID == id })
	})
}

// order gives the executions in the order in which they were canceled, or were asked to end.
func (f *fixture) order() (ids []string) {
	f.t.Helper()
	s, err := f.bus.JS.Stream(f.t.Context(), streams.Executions)
	if err != nil {
		f.t.Fatal(err)
	}
	for seq := range s.CachedInfo().State.LastSeq {
		m, err := s.GetMsg(f.t.Context(), seq+1)
		if err != nil {
			f.t.Fatal(err)
		}
		fact, err := execution.ParseFact(m.Data)
		if err != nil {
			f.t.Fatal(err)
		}
		if fact.Status == streams.Canceled || fact.Status == streams.Canceling {
			ids = append(ids, fact.ID)
		}
	}
	return ids
}

func (f *fixture) status(id string) streams.Status {
	f.t.Helper()
	return want[wire.Execution](f.get("/api/v1/executions/"+id), http.StatusOK).Status
}

func TestManyAreCanceledNewestWaitingFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	ids := f.many(7, "demo.echo")
	f.move(ids[2], streams.Running)
	f.move(ids[5], streams.Running)
	f.move(ids[3], streams.Running, streams.Succeeded)
	f.recorded(ids[2], streams.Running)
	f.recorded(ids[5], streams.Running)
	f.recorded(ids[3], streams.Succeeded)
	other := f.many(1, "demo.slow")[0]
	const filter = `{"action":"demo.echo","limit":1}`
	if r := f.cancel(`{"action":"demo.echo","dry_run":true}`); r != (wire.CancelResult{Matched: 6, Remaining: 6}) || len(f.order()) != 0 {
		t.Errorf("only counted: %+v, %v canceled", r, f.order())
	}
	first := f.cancel(filter)
	if first.Matched != 6 || first.Canceled != 1 || first.Remaining != 5 || first.NextCursor == "" {
		t.Errorf("first call: %+v", first)
	}
	sum, calls := f.cancelAll(filter)
	if sum.Remaining != 0 || sum.Canceled != 5 || calls < 5 { // one a call, and one more where history lags
		t.Errorf("all: %+v in %d calls", sum, calls)
	}
	want := []string{ids[6], ids[4], ids[1], ids[0], ids[5], ids[2]}
	if got := f.order(); !slices.Equal(got, want) {
		t.Errorf("canceled in the order %v, want %v", got, want)
	}
	if s := f.status(other); s != streams.Requested {
		t.Errorf("another action's is %s", s)
	}
}

func TestOnlyWhatFitsIsCanceled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	ids := f.many(3, "demo.echo")
	f.move(ids[0], streams.Running)
	f.recorded(ids[0], streams.Running)
	for _, c := range []struct {
		body string
		want int
	}{
		{`{"action":"demo.slow"}`, 0},
		{`{"rule":"demo.on-note"}`, 0},
		{`{"older_than":"1h"}`, 0},
		{`{"older_than":"2020-01-01T00:00:00Z"}`, 0},
		{`{"statuses":["running"]}`, 1},
		{`{"statuses":["requested"]}`, 2},
		{`{"statuses":["requested","running"]}`, 3},
		{`{"older_than":"0s"}`, 3},
		{`{"all":true}`, 3},
		{`{"all":true,"action":"demo.echo","statuses":["running"]}`, 1},
	} {
		if r := f.cancel(strings.TrimSuffix(c.body, "}") + `,"dry_run":true}`); r.Matched != c.want {
			t.Errorf("%s fits %d, want %d", c.body, r.Matched, c.want)
		}
	}
	if sum, _ := f.cancelAll(`{"statuses":["requested"]}`); sum.Canceled != 2 || f.status(ids[0]) != streams.Running {
		t.Errorf("the waiting: %+v, and the running is %s", sum, f.status(ids[0]))
	}
	if sum, _ := f.cancelAll(`{"all":true}`); sum.Canceled != 1 || f.status(ids[0]) != streams.Canceling {
		t.Errorf("all: %+v, and the running is %s", sum, f.status(ids[0]))
	}
	if sum, _ := f.cancelAll(`{"all":true}`); sum.Canceled != 0 {
		t.Errorf("again: %+v", sum)
	}
}

func TestWrongCancelingNamesTheField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for body, field := range map[string]string{
		`{}`: "all", `{"all":false}`: "all", `{"statuses":[]}`: "all", `{"dry_run":true}`: "all",
		`{"action":"demo"}`: "action", `{"rule":"a b"}`: "rule", `{"statuses":["failed"]}`: "statuses", `{"statuses":["canceling"]}`: "statuses",
		`{"older_than":"yesterday"}`: "older_than", `{"older_than":"-1h"}`: "older_than", `{"all":true,"limit":0}`: "limit",
		`{"all":true,"limit":501}`: "limit", `{"all":"yes"}`: "all", `{"everything":true}`: "everything",
	} {
		f.post("/api/v1/executions/cancel", body).refused(http.StatusBadRequest, wire.CodeInvalidRequest, field)
	}
	for _, cursor := range []string{"x", "waiting", "waiting.x", "rest.x", "other.", "."} {
		f.post("/api/v1/executions/cancel", `{"all":true,"cursor":"`+cursor+`"}`).refused(http.StatusBadRequest, wire.CodeInvalidCursor)
	}
	f.post("/api/v1/executions/cancel", `{"statuses":["running"],"cursor":"waiting."}`).refused(http.StatusBadRequest, wire.CodeInvalidCursor)
}

// History is behind the bus: what it calls waiting may run, and may have been canceled by the call before.
func TestCancelingGoesByTheBusWhereHistoryIsBehind(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stop := f.withRecorder()
	ids := f.many(5, "demo.echo")
	stop()
	f.move(ids[4], streams.Running)
	f.move(ids[3], streams.Running, streams.Succeeded)
	if sum, _ := f.cancelAll(`{"statuses":["requested"],"limit":2}`); sum.Canceled != 3 || f.status(ids[4]) != streams.Running {
		t.Errorf("the waiting: %+v, and the running is %s", sum, f.status(ids[4]))
	}
	if sum, _ := f.cancelAll(`{"all":true,"limit":2}`); sum.Canceled != 1 || f.status(ids[4]) != streams.Canceling || f.status(ids[3]) != streams.Succeeded {
		t.Errorf("all: %+v, and the running is %s", sum, f.status(ids[4]))
	}
}

// Nobody starts who is about to be canceled: those that wait go before those whose end frees a slot, which are not
// only those that run.
func TestCancelingAllStartsNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	f.withScheduler()
	runs, err := f.bus.Conn.SubscribeSync(streams.AllRuns)
	if err != nil {
		t.Fatal(err)
	}
	f.say("demo.slow", "pause", nil)
	f.many(20, "demo.slow")
	newest := want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow","priority":"high"}`), http.StatusAccepted).ID
	f.recorded(newest, streams.Requested)
	f.say("demo.slow", "resume", nil)
	f.eventually("the newest has the slot", func() bool { return f.place(newest) == "0" })
	if sum, _ := f.cancelAll(`{"all":true,"limit":6}`); sum.Matched != 21 || sum.Canceled != 21 {
		t.Errorf("canceled: %+v", sum)
	}
	if order := f.order(); len(order) != 21 || order[20] != newest {
		t.Errorf("%s had the slot, and the order is %v", newest, order)
	}
	f.eventually("the line is empty", func() bool {
		q := want[wire.QueueStats](f.get("/api/v1/actions/demo.slow/queue-stats"), http.StatusOK)
		return q.Waiting+q.Running == 0
	})
	if err := f.bus.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := runs.NextMsg(time.Millisecond)
		if err != nil {
			break // that was all
		}
		if _, id, err := streams.RunTokens(m.Subject); err == nil && id != newest {
			t.Errorf("%s was given the slot", id)
		}
	}
}

// An attempt that keeps its slot while it waits is canceled with those that run.
func TestAHeldSlotIsFreedLast(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	ids := f.many(2, "demo.slow")
	facts := execution.NewFacts(f.bus.JS)
	id := execution.NewID()
	_, err := facts.Request(t.Context(), execution.Request{
		ID: id, Action: "demo.slow", PackDigest: "d", Parameters: []byte(`{}`), Pool: "default", By: "api",
		Retry: &streams.Retry{Attempts: 2, DelaySeconds: 3600, On: []streams.Status{streams.Failed}, Hold: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.move(id, streams.Running)
	running, err := facts.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	end := running.Fact
	end.Status, end.At = streams.Failed, time.Now().UTC()
	if _, err := facts.EndAttempt(t.Context(), running, end); err != nil {
		t.Fatal(err)
	}
	// Its first attempt was requested too, so the status alone would be true before history has seen it run.
	f.eventually("history has its second attempt", func() bool {
		items := want[wire.Page[wire.Execution]](f.get("/api/v1/executions?limit=500&status=requested"), http.StatusOK).Items
		return slices.ContainsFunc(items, func(e wire.Execution) bool { return e.ID == id && e.Attempt == 2 })
	})
	if sum, _ := f.cancelAll(`{"statuses":["requested"]}`); sum.Canceled != 3 {
		t.Errorf("canceled: %+v", sum)
	}
	if order := f.order(); len(order) != 3 || order[2] != id {
		t.Errorf("%s held the slot, and the order is %v of %v", id, order, ids)
	}
}
