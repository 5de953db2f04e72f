package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

func TestAnExecutionIsThereAtOnceWithItsDefaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	done := f.requestEcho()
	if done.Status != streams.Requested || done.Position != nil {
		t.Errorf("without a scheduler: %+v", done)
	}
	e := want[wire.Execution](f.get("/api/v1/executions/"+done.ID), http.StatusOK)
	if e.Status != streams.Requested || e.Action != "demo.echo" || e.PackDigest != digestOf(demo()) || e.RequestedBy != "admin" ||
		string(e.Parameters) != `{"count":1,"message":"hi"}` {
		t.Errorf("execution is %+v with parameters %s", e, e.Parameters)
	}
	if n := f.count(streams.Queue); n != 1 {
		t.Errorf("%d in the queue, want 1", n)
	}
}

func TestWrongRequestsNameEveryFieldAndQueueNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
		fields []string
	}{
		"two parameters wrong, one missing": {`{"action":"demo.echo","parameters":{"count":0,"mode":"x","other":1}}`, 400, wire.CodeInvalidParameters, []string{"parameters.count", "parameters.message", "parameters.mode", "parameters.other"}},
		"a whole number that is not":        {`{"action":"demo.echo","parameters":{"message":"a","count":1.5}}`, 400, wire.CodeInvalidParameters, []string{"parameters.count"}},
		"parameters that are a list":        {`{"action":"demo.echo","parameters":[]}`, 400, wire.CodeInvalidParameters, []string{"parameters"}},
		"an unknown action":                 {`{"action":"demo.nope"}`, 404, wire.CodeNotFound, nil},
		"an action that is no reference":    {`{"action":"../../etc"}`, 404, wire.CodeNotFound, nil},
		"a homoglyph of an action":          {`{"action":"demo.еcho"}`, 404, wire.CodeNotFound, nil},
		"no action":                         {`{"parameters":{}}`, 400, wire.CodeInvalidRequest, []string{"action"}},
		"an unknown field":                  {`{"action":"demo.echo","params":{}}`, 400, wire.CodeInvalidRequest, []string{"params"}},
		"a field in another case":           {`{"Action":"demo.echo"}`, 400, wire.CodeInvalidRequest, nil},
		"a field twice":                     {`{"action":"demo.echo","action":"demo.slow"}`, 400, wire.CodeInvalidRequest, []string{"action"}},
		"a parameter twice":                 {`{"action":"demo.echo","parameters":{"message":"a","message":"b"}}`, 400, wire.CodeInvalidRequest, []string{"parameters.message"}},
		"an action that is a number":        {`{"action":7}`, 400, wire.CodeInvalidRequest, []string{"action"}},
		"no JSON":                           {`{"action":`, 400, wire.CodeInvalidRequest, nil},
		"an empty body":                     {"", 400, wire.CodeInvalidRequest, nil},
		"invalid UTF-8":                     {"{\"action\":\"demo.echo\",\"parameters\":{\"message\":\"\xff\"}}", 400, wire.CodeInvalidRequest, nil},
		"nested 10,000 deep":                {`{"action":"demo.echo","parameters":{"message":` + deep + `}}`, 400, wire.CodeInvalidRequest, nil},
		"a huge number":                     {`{"action":"demo.echo","parameters":{"message":"a","count":1e999999}}`, 400, wire.CodeInvalidRequest, nil},
		"300 KiB of parameters":             {`{"action":"demo.echo","parameters":{"message":"` + strings.Repeat("x", 300<<10) + `"}}`, 413, wire.CodeTooLarge, []string{"parameters"}},
		"2 MiB of body":                     {`{"action":"demo.echo","parameters":{"message":"` + strings.Repeat("x", 2<<20) + `"}}`, 413, wire.CodeTooLarge, nil},
		"a concurrency key that is missing": {`{"action":"demo.deploy","parameters":{}}`, 400, wire.CodeInvalidParameters, []string{"parameters"}},
	} {
		p := f.post("/api/v1/executions", c.body).refused(c.status, c.code, c.fields...)
		if strings.Contains(p.Detail, "/work") || strings.Contains(p.Detail, ".go:") {
			t.Errorf("%s: detail shows the inside: %s", name, p.Detail)
		}
	}
	if q, x := f.count(streams.Queue), f.count(streams.Executions); q != 0 || x != 0 {
		t.Errorf("%d queued and %d facts, want none", q, x)
	}
}

func TestLargeIntegersStayExact(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	done := want[wire.ExecutionAccepted](f.post("/api/v1/executions",
		`{"action":"demo.slow","parameters":{"n":9007199254740993,"f":0.1000000000000000055,"nul":"\u0000"}}`), http.StatusAccepted)
	e := want[wire.Execution](f.get("/api/v1/executions/"+done.ID), http.StatusOK)
	if got := string(e.Parameters); !strings.Contains(got, "9007199254740993") || !strings.Contains(got, "0.1000000000000000055") {
		t.Errorf("parameters became %s", got)
	}
}

func TestAnIdempotencyKeyIsOneExecution(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := make(chan string, 20)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() { ids <- f.requestEcho("Idempotency-Key", "k1").ID })
	}
	wg.Wait()
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Errorf("id %s, want %s", id, first)
		}
	}
	if n := f.count(streams.Queue); n != 1 {
		t.Errorf("%d in the queue, want 1", n)
	}
	if other := f.requestEcho("Idempotency-Key", "k2"); other.ID == first {
		t.Error("another key is the same execution")
	}
	f.post("/api/v1/executions", `{"action":"demo.echo","parameters":{"message":"other"}}`, "Idempotency-Key", "k1").refused(http.StatusConflict, wire.CodeConflict)
	f.post("/api/v1/executions", `{"action":"demo.slow","parameters":{"message":"hi"}}`, "Idempotency-Key", "k1").refused(http.StatusConflict, wire.CodeConflict)
	f.post("/api/v1/executions", `{"action":"demo.slow"}`, "Idempotency-Key", strings.Repeat("k", 300)).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "Idempotency-Key")
}

func TestAnIdempotencyKeyIsRememberedWhenTheBusHasForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	first := f.requestEcho("Idempotency-Key", "k1")
	f.move(first.ID, streams.Running, streams.Succeeded)
	f.eventually("history has the end", func() bool {
		return len(want[wire.Page[wire.Execution]](f.get("/api/v1/executions?status=succeeded"), http.StatusOK).Items) == 1
	})
	f.purge(streams.Executions)
	a := f.post("/api/v1/executions", `{"action":"demo.echo","parameters":{"message":"hi"}}`, "Idempotency-Key", "k1")
	again := want[wire.ExecutionAccepted](a, http.StatusAccepted)
	if again.ID != first.ID || again.Status != streams.Succeeded || a.header.Get(wire.HeaderReplayed) != "true" {
		t.Errorf("again: %+v", again)
	}
	if n := f.count(streams.Executions); n != 0 {
		t.Errorf("%d facts were written", n)
	}
}

func (f *fixture) purge(stream string) {
	f.t.Helper()
	s, err := f.bus.JS.Stream(f.t.Context(), stream)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := s.Purge(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func TestARequestIsHealedByItsRepetition(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.requestEcho("Idempotency-Key", "k1")
	f.purge(streams.Queue) // as if the service had died between the two
	again := f.requestEcho("Idempotency-Key", "k1")
	if again.ID != first.ID || f.count(streams.Queue) != 1 {
		t.Errorf("again %s, first %s, %d in the queue", again.ID, first.ID, f.count(streams.Queue))
	}
}

func TestAWaitingExecutionKnowsItsPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScheduler()
	first := want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`), http.StatusAccepted)
	if first.Position == nil || *first.Position > 1 { // it is next, or has the slot already
		t.Errorf("the first has position %v", show(first.Position))
	}
	f.eventually("it has the slot", func() bool { return f.place(first.ID) == "0" })
	for place := 1; place < 4; place++ {
		done := want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`), http.StatusAccepted)
		if show(done.Position) != strconv.Itoa(place) || f.place(done.ID) != strconv.Itoa(place) {
			t.Errorf("position %s, shown %s, want %d", show(done.Position), f.place(done.ID), place)
		}
	}
}

func (f *fixture) place(id string) string {
	f.t.Helper()
	return show(want[wire.Execution](f.get("/api/v1/executions/"+id), http.StatusOK).Position)
}

func show(n *int) string {
	if n == nil {
		return "none"
	}
	return strconv.Itoa(*n)
}

func TestHistoryIsListedInPagesAndByFilter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	var ids []string
	for range 5 {
		ids = append(ids, f.requestEcho().ID)
	}
	f.move(ids[0], streams.Running, streams.Succeeded)
	f.eventually("history has all", func() bool {
		done := want[wire.Page[wire.Execution]](f.get("/api/v1/executions?status=succeeded"), http.StatusOK).Items
		return len(done) == 1 && len(want[wire.Page[wire.Execution]](f.get("/api/v1/executions"), http.StatusOK).Items) == 5
	})
	var seen []string
	cursor := ""
	for {
		page := want[wire.Page[wire.Execution]](f.get("/api/v1/executions?limit=2&cursor="+cursor), http.StatusOK)
		for _, e := range page.Items {
			seen = append([]string{e.ID}, seen...)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if strings.Join(seen, " ") != strings.Join(ids, " ") {
		t.Errorf("pages give %v, want newest first of %v", seen, ids)
	}
	for query, n := range map[string]int{
		"status=requested,running": 4, "action=demo.echo": 5, "action=demo.slow": 0, "rule=demo.on-note": 0, "since=1h": 5,
		"since=2099-01-01T00:00:00Z": 0, "until=2099-01-01T00:00:00Z": 5, "event=" + newID(): 0,
	} {
		if got := len(want[wire.Page[wire.Execution]](f.get("/api/v1/executions?"+query), http.StatusOK).Items); got != n {
			t.Errorf("%s gives %d, want %d", query, got, n)
		}
	}
}

func TestWrongFiltersAreNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for query, field := range map[string]string{
		"status=done": "status", "since=yesterday": "since", "until=-5m": "until", "limit=0": "limit", "limit=501": "limit",
		"limit=x": "limit", "stauts=failed": "stauts", "event=1": "event",
	} {
		f.get("/api/v1/executions?"+query).refused(http.StatusBadRequest, wire.CodeInvalidRequest, field)
	}
	f.get("/api/v1/executions?cursor=nonsense").refused(http.StatusBadRequest, wire.CodeInvalidCursor, "cursor")
	f.get("/api/v1/actions?cursor=%21").refused(http.StatusBadRequest, wire.CodeInvalidCursor, "cursor")
	for _, id := range []string{newID(), "1", "..", "%2e%2e", "a%2fb"} {
		f.get("/api/v1/executions/"+id).refused(http.StatusNotFound, wire.CodeNotFound)
	}
}

func TestCancelEndsWhatWaitsAndAsksWhatRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	waiting, running, ended := f.requestEcho().ID, f.requestEcho().ID, f.requestEcho().ID
	f.move(running, streams.Running)
	f.move(ended, streams.Running, streams.Failed)
	for id, status := range map[string]streams.Status{waiting: streams.Canceled, running: streams.Canceling, ended: streams.Failed} {
		for range 2 {
			e := want[wire.Execution](f.post("/api/v1/executions/"+id+"/cancel", nil), http.StatusAccepted)
			if e.Status != status || e.Parameters == nil {
				t.Errorf("canceled: %+v, want %s", e, status)
			}
		}
	}
	f.post("/api/v1/executions/"+newID()+"/cancel", nil).refused(http.StatusNotFound, wire.CodeNotFound)
}

func TestRetryIsANewExecutionOfTheSame(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.requestEcho().ID
	f.post("/api/v1/executions/"+first+"/retry", nil).refused(http.StatusConflict, wire.CodeConflict)
	f.move(first, streams.Running, streams.Failed)
	done := want[wire.ExecutionAccepted](f.post("/api/v1/executions/"+first+"/retry", nil, "Idempotency-Key", "k"), http.StatusAccepted)
	again := want[wire.ExecutionAccepted](f.post("/api/v1/executions/"+first+"/retry", nil, "Idempotency-Key", "k"), http.StatusAccepted)
	e := want[wire.Execution](f.get("/api/v1/executions/"+done.ID), http.StatusOK)
	if done.ID == first || again.ID != done.ID || e.RetryOf != first || e.RequestedBy != "admin" || string(e.Parameters) != `{"count":1,"message":"hi"}` {
		t.Errorf("retried %s: %+v, again %s", first, e, again.ID)
	}
	f.post("/api/v1/executions/"+newID()+"/retry", nil).refused(http.StatusNotFound, wire.CodeNotFound)
}

func TestWithoutTheDatabaseExecutionsGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScheduler()
	before := f.requestEcho().ID
	f.link.Cut()
	id := f.requestEcho("Idempotency-Key", "k").ID
	f.move(id, streams.Running)
	e := want[wire.Execution](f.get("/api/v1/executions/"+id), http.StatusOK)
	if e.Status != streams.Running || string(e.Parameters) != `{"count":1,"message":"hi"}` {
		t.Errorf("from the bus: %+v with %s", e, e.Parameters)
	}
	want[wire.Execution](f.post("/api/v1/executions/"+before+"/cancel", nil), http.StatusAccepted)
	want[wire.Queue](f.get("/api/v1/queues/demo.echo"), http.StatusOK)
	want[wire.Page[wire.Action]](f.get("/api/v1/actions"), http.StatusOK)
	want[wire.EventAccepted](f.post("/api/v1/events", `{"trigger":"demo.note","payload":{"host":"a"}}`), http.StatusAccepted)
	if a := f.get("/api/v1/executions/" + id + "/logs/stdout"); a.status != http.StatusOK {
		t.Errorf("log answered %d: %s", a.status, a.body)
	}
	f.get("/api/v1/executions").refused(http.StatusServiceUnavailable, wire.CodeDatabaseDown)
	f.get("/api/v1/executions/"+newID()).refused(http.StatusServiceUnavailable, wire.CodeDatabaseDown)
	f.get("/api/v1/events").refused(http.StatusServiceUnavailable, wire.CodeDatabaseDown)
	f.get("/api/v1/secrets").refused(http.StatusServiceUnavailable, wire.CodeDatabaseDown)
	a := f.post("/api/v1/rules/demo.on-note/disable", nil)
	a.refused(http.StatusServiceUnavailable, wire.CodeDatabaseDown)
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if h := want[wire.Health](f.get("/readyz"), http.StatusServiceUnavailable); h.Status != "unavailable" {
		t.Errorf("ready: %+v", h)
	}
	f.link.Restore()
	f.eventually("it is ready again", func() bool { return f.get("/readyz").status == http.StatusOK })
	want[wire.Page[wire.Execution]](f.get("/api/v1/executions"), http.StatusOK)
}
