package api_test

import (
	"net/http"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

func TestALineIsShownInOrderAndInPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScheduler()
	var ids []string
	for range 5 {
		ids = append(ids, want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`), http.StatusAccepted).ID)
	}
	var seen []string
	cursor := ""
	for {
		page := want[wire.Queue](f.get("/api/v1/queues/demo.slow?limit=2&cursor="+cursor), http.StatusOK)
		if page.Waiting != 4 || page.Running != 1 || page.Limit != 1 || page.Action != "demo.slow" {
			t.Errorf("queue %+v", page.QueueStats)
		}
		for _, e := range page.Entries {
			if e.Position != len(seen) {
				t.Errorf("entry %d is %+v", len(seen), e)
			}
			seen = append(seen, e.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	for i, id := range ids {
		if i >= len(seen) || seen[i] != id {
			t.Fatalf("line is %v, want %v", seen, ids)
		}
	}
	stats := want[wire.QueueStats](f.get("/api/v1/actions/demo.slow/queue-stats"), http.StatusOK)
	if stats.Waiting != 4 || stats.Running != 1 || stats.OldestWaitSeconds <= 0 {
		t.Errorf("stats %+v", stats)
	}
	all := want[wire.Page[wire.QueueStats]](f.get("/api/v1/queues"), http.StatusOK).Items
	if len(all) != 1 || all[0].Action != "demo.slow" {
		t.Errorf("queues %+v", all)
	}
	f.get("/api/v1/queues/demo.slow?cursor=x").refused(http.StatusBadRequest, wire.CodeInvalidCursor)
}

func TestEachKeyHasALine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScheduler()
	for _, repo := range []string{"a/b c", "a/b c", "x"} {
		want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.deploy","parameters":{"repo":"`+repo+`"}}`), http.StatusAccepted)
	}
	q := want[wire.Queue](f.get("/api/v1/queues/demo.deploy?key=a%2Fb%20c"), http.StatusOK)
	if q.Waiting != 1 || q.Running != 1 || len(q.Entries) != 2 || q.Entries[1].Key != "a/b c" {
		t.Errorf("line of a key: %+v", q)
	}
	if q := want[wire.QueueStats](f.get("/api/v1/actions/demo.deploy/queue-stats"), http.StatusOK); q.Waiting != 1 || q.Running != 2 {
		t.Errorf("all keys: %+v", q)
	}
}

func TestAPausedLineStandsUntilItIsResumed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScheduler()
	if q := want[wire.QueueStats](f.post("/api/v1/queues/demo.slow/pause", nil), http.StatusOK); !q.Paused {
		t.Errorf("paused: %+v", q)
	}
	paused := func() bool {
		return want[wire.QueueStats](f.get("/api/v1/actions/demo.slow/queue-stats"), http.StatusOK).Paused
	}
	f.eventually("the scheduler knows", paused)
	want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`), http.StatusAccepted)
	if q := want[wire.Queue](f.get("/api/v1/queues/demo.slow"), http.StatusOK); q.Waiting != 1 || q.Running != 0 || !q.Paused {
		t.Errorf("paused: %+v", q)
	}
	if q := want[wire.QueueStats](f.post("/api/v1/queues/demo.slow/resume", nil), http.StatusOK); q.Paused {
		t.Errorf("resumed: %+v", q)
	}
	f.eventually("it goes on", func() bool {
		return want[wire.Queue](f.get("/api/v1/queues/demo.slow"), http.StatusOK).Running == 1
	})
	if n := f.count(streams.Runs); n == 0 {
		t.Error("nothing was dispatched")
	}
}

func TestWithoutASchedulerQueuesSaySoAndPausingWorks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/api/v1/queues", "/api/v1/queues/demo.slow", "/api/v1/actions/demo.slow/queue-stats"} {
		f.get(path).refused(http.StatusServiceUnavailable, wire.CodeSchedulerDown)
	}
	if q := want[wire.QueueStats](f.post("/api/v1/queues/demo.slow/pause", nil), http.StatusOK); !q.Paused || q.Limit != 1 {
		t.Errorf("paused: %+v", q)
	}
	f.withScheduler() // it leads from now on, and knows
	if q := want[wire.QueueStats](f.get("/api/v1/actions/demo.slow/queue-stats"), http.StatusOK); !q.Paused {
		t.Errorf("the new leader says %+v", q)
	}
	for _, path := range []string{"/api/v1/queues/demo.nope", "/api/v1/queues/nope", "/api/v1/actions/demo.nope/queue-stats"} {
		f.get(path).refused(http.StatusNotFound, wire.CodeNotFound)
	}
	f.post("/api/v1/queues/demo.nope/pause", nil).refused(http.StatusNotFound, wire.CodeNotFound)
}
