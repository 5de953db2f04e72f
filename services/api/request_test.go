package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// newGate is a fixture with actions that start at once or not at all.
func newGate(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	once := func(key string) pack.Concurrency {
		return pack.Concurrency{Limit: 1, Key: key, OnFull: pack.OnFullReject}
	}
	f.define(pack.Pack{Name: "gate", Version: "1.0.0", Actions: []pack.Action{
		{Name: "one", Runtime: "shell", EntryPoint: "one.sh", Concurrency: once("")},
		{Name: "each", Runtime: "shell", EntryPoint: "one.sh", Concurrency: once("params.key")},
	}})
	f.eventually("the pack is known", func() bool { return f.get("/api/v1/packs/gate").status == http.StatusOK })
	return f
}

const requestOne = `{"action":"gate.one"}`

// end ends a waiting execution as the leading scheduler does that refuses it.
func (f *fixture) end(id, class string) {
	facts := execution.NewFacts(f.bus.JS)
	st, err := facts.Find(f.t.Context(), id)
	if err != nil {
		f.t.Error(err)
		return
	}
	end := st.Fact
	end.Status, end.At, end.Parameters = streams.Canceled, time.Now().UTC(), nil
	end.EndedAt, end.Error = &end.At, &streams.Error{Class: class, Message: "refused"}
	if _, err := facts.Append(f.t.Context(), st, end); err != nil {
		f.t.Error(err)
	}
}

func TestWhatCannotStartNowIsRefusedBeforeItIsMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stats streams.QueueStats
		code  string // "": taken
	}{
		"a slot is free":      {streams.QueueStats{Limit: 2, Running: 1}, ""},
		"there is no limit":   {streams.QueueStats{Running: 9}, ""},
		"all slots are taken": {streams.QueueStats{Limit: 1, Running: 1}, wire.CodeQueueFull},
		"somebody waits":      {streams.QueueStats{Limit: 5, Waiting: 1}, wire.CodeQueueFull},
		"it is paused":        {streams.QueueStats{Limit: 5, Paused: true}, wire.CodeQueueFull},
		"it is draining":      {streams.QueueStats{Limit: 5, Draining: true}, wire.CodeQueueDraining},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newGate(t)
			f.leader(func(r streams.QueueRequest) streams.QueueStats { c.stats.Action = r.Action; return c.stats },
				func(r streams.PositionRequest) streams.Position { return streams.Position{ID: r.ID, Known: true} })
			a := f.post("/api/v1/executions", requestOne)
			if c.code == "" {
				want[wire.ExecutionAccepted](a, http.StatusAccepted)
				return
			}
			p := a.refused(http.StatusConflict, c.code)
			if p.Queue == nil || *p.Queue != c.stats || p.Execution != "" || f.count(streams.Executions)+f.count(streams.Queue) != 0 {
				t.Errorf("refused with %+v, %d facts", p, f.count(streams.Executions))
			}
		})
	}
}

// Somebody else may have come in between: the leader then refuses what was published, before or after it is asked.
func TestWhatTheLeaderRefusesIsARefusal(t *testing.T) {
	t.Parallel()
	full := streams.QueueStats{Action: "gate.one", Limit: 1}
	for _, class := range []string{streams.ClassQueueFull, streams.ClassQueueDraining} {
		for _, ended := range []bool{false, true} {
			f := newGate(t)
			f.leader(func(streams.QueueRequest) streams.QueueStats { return full }, func(r streams.PositionRequest) streams.Position {
				if ended {
					f.end(r.ID, class)
					return streams.Position{ID: r.ID}
				}
				return streams.Position{ID: r.ID, Known: true, Position: 1, Refused: class}
			})
			p := f.post("/api/v1/executions", requestOne, "Idempotency-Key", "k").refused(http.StatusConflict, class)
			if p.Queue == nil || p.Execution == "" {
				t.Errorf("%s: %+v", class, p)
			}
			again := f.post("/api/v1/executions", requestOne, "Idempotency-Key", "k").refused(http.StatusConflict, class)
			if again.Execution != p.Execution || f.count(streams.Queue) != 1 {
				t.Errorf("%s again: %+v, %d queued", class, again, f.count(streams.Queue))
			}
		}
	}
}

// Also long after the refused execution has left the bus, a repetition is refused.
func TestARefusalIsRemembered(t *testing.T) {
	t.Parallel()
	f := newGate(t)
	f.withRecorder()
	f.leader(func(streams.QueueRequest) streams.QueueStats { return streams.QueueStats{} }, func(r streams.PositionRequest) streams.Position {
		f.end(r.ID, streams.ClassQueueFull)
		return streams.Position{ID: r.ID}
	})
	p := f.post("/api/v1/executions", requestOne, "Idempotency-Key", "k").refused(http.StatusConflict, wire.CodeQueueFull)
	f.eventually("history has the end", func() bool {
		return len(want[wire.Page[wire.Execution]](f.get("/api/v1/executions?status=canceled"), http.StatusOK).Items) == 1
	})
	f.purge(streams.Executions)
	again := f.post("/api/v1/executions", requestOne, "Idempotency-Key", "k").refused(http.StatusConflict, wire.CodeQueueFull)
	if again.Execution != p.Execution || f.count(streams.Executions) != 0 {
		t.Errorf("first %s, then %s", p.Execution, again.Execution)
	}
}

// A request that is repeated is not in its own way.
func TestARepetitionIsNotRefusedForItsOwnSake(t *testing.T) {
	t.Parallel()
	f := newGate(t)
	var stats streams.QueueStats
	f.leader(func(streams.QueueRequest) streams.QueueStats { return stats },
		func(r streams.PositionRequest) streams.Position { return streams.Position{ID: r.ID, Known: true} })
	first := want[wire.ExecutionAccepted](f.post("/api/v1/executions", requestOne, "Idempotency-Key", "k"), http.StatusAccepted)
	stats = streams.QueueStats{Limit: 1, Running: 1}
	for _, status := range []streams.Status{streams.Requested, streams.Running, streams.Succeeded} {
		if status != streams.Requested {
			f.move(first.ID, status)
		}
		again := want[wire.ExecutionAccepted](f.post("/api/v1/executions", requestOne, "Idempotency-Key", "k"), http.StatusAccepted)
		if again.ID != first.ID || again.Status != status {
			t.Errorf("while %s: %+v", status, again)
		}
	}
	f.post("/api/v1/executions", requestOne, "Idempotency-Key", "other").refused(http.StatusConflict, wire.CodeQueueFull)
	f.post("/api/v1/executions/"+first.ID+"/retry", nil).refused(http.StatusConflict, wire.CodeQueueFull)
}

func TestEachKeyIsFullByItself(t *testing.T) {
	t.Parallel()
	f := newGate(t)
	f.leader(func(r streams.QueueRequest) streams.QueueStats {
		return streams.QueueStats{Action: r.Action, Key: r.Key, Limit: 1, Running: len(strings.TrimLeft(r.Key+"x", "a"))} // free for a only when its key is given
	}, func(r streams.PositionRequest) streams.Position { return streams.Position{ID: r.ID, Known: true} })
	request := func(key string) answer {
		return f.post("/api/v1/executions", `{"action":"gate.each","parameters":{"key":"`+key+`"}}`)
	}
	if p := request("b").refused(http.StatusConflict, wire.CodeQueueFull); p.Queue == nil || p.Queue.Key != "b" {
		t.Errorf("refused with %+v", p)
	}
	want[wire.ExecutionAccepted](request(""), http.StatusAccepted) // the statistics of all keys say nothing of this one
}

func TestWithoutASchedulerOnlyWhatMayWaitIsTaken(t *testing.T) {
	t.Parallel()
	f := newGate(t)
	f.post("/api/v1/executions", requestOne).refused(http.StatusServiceUnavailable, wire.CodeSchedulerDown)
	if n := f.count(streams.Executions); n != 0 {
		t.Errorf("%d facts", n)
	}
	f.requestEcho()
}

func TestOneOfManyAtOnceStartsAndTheOthersAreRefused(t *testing.T) {
	t.Parallel()
	f := newGate(t)
	f.withScheduler()
	answers := make(chan answer, 12)
	for range cap(answers) {
		go func() { answers <- f.post("/api/v1/executions", requestOne) }()
	}
	taken := 0
	for range cap(answers) {
		if a := <-answers; a.status == http.StatusAccepted {
			taken++
		} else {
			a.refused(http.StatusConflict, wire.CodeQueueFull)
		}
	}
	if taken != 1 {
		t.Errorf("%d were taken, want 1", taken)
	}
	f.eventually("one has the slot and nobody waits", func() bool {
		q := want[wire.QueueStats](f.get("/api/v1/actions/gate.one/queue-stats"), http.StatusOK)
		return q.Running == 1 && q.Waiting == 0
	})
}

func TestPriorityAndPlaceAreTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at, off := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC), 0.2
	f.leader(nil, func(r streams.PositionRequest) streams.Position {
		return streams.Position{ID: r.ID, Known: true, Position: 3, EstimatedStartAt: &at, EstimateError: &off}
	})
	for text, priority := range map[string]streams.Priority{"": "normal", `,"priority":"high"`: "high", `,"priority":"low"`: "low"} {
		done := want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"`+text+`}`), http.StatusAccepted)
		if show(done.Position) != "3" || done.EstimatedStartAt == nil || !done.EstimatedStartAt.Equal(at) || *done.EstimateError != off {
			t.Errorf("accepted %+v", done)
		}
		e := want[wire.Execution](f.get("/api/v1/executions/"+done.ID), http.StatusOK)
		if e.Priority != priority || e.Queue == nil || e.Queue.Position != 3 || !e.Queue.EstimatedStartAt.Equal(at) || *e.Queue.EstimateError != off || show(e.Position) != "3" {
			t.Errorf("%s: shown %+v, %+v", text, e, e.Queue)
		}
		f.move(done.ID, streams.Running)
		if e := want[wire.Execution](f.get("/api/v1/executions/"+done.ID), http.StatusOK); e.Queue != nil || e.Priority != priority {
			t.Errorf("%s: running, shown %+v", text, e)
		}
	}
	f.post("/api/v1/executions", `{"action":"demo.slow","priority":"urgent"}`).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "priority")
}

// An execution tells how its earlier attempts ended, on the bus and when it has left it.
func TestEarlierAttemptsAreTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	facts, id := execution.NewFacts(f.bus.JS), execution.NewID()
	got, err := facts.Request(t.Context(), execution.Request{
		ID: id, Action: "demo.echo", PackDigest: "d", Parameters: []byte(`{"message":"hi"}`), Pool: "default", By: "api",
		Retry: &streams.Retry{Attempts: 2, DelaySeconds: 3600, On: []streams.Status{streams.Failed}},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.move(id, streams.Running)
	running, err := facts.Last(t.Context(), got.Action, id)
	if err != nil {
		t.Fatal(err)
	}
	end := running.Fact
	end.Status, end.At, end.Error = streams.Failed, time.Now().UTC(), &streams.Error{Class: streams.ClassExitStatus, Message: "exit status 1"}
	end.EndedAt = &end.At
	if _, err := facts.EndAttempt(t.Context(), running, end); err != nil {
		t.Fatal(err)
	}
	check := func(what string, e wire.Execution, waits bool) {
		t.Helper()
		if e.Attempt != 2 || len(e.Previous) != 1 || e.Previous[0].Status != streams.Failed || e.Previous[0].Error.Class != streams.ClassExitStatus || (e.NotBefore != nil) != waits {
			t.Errorf("%s: %+v", what, e)
		}
	}
	check("waiting", want[wire.Execution](f.get("/api/v1/executions/"+id), http.StatusOK), true)
	f.move(id, streams.Running, streams.Succeeded)
	f.eventually("history has the end", func() bool {
		return len(want[wire.Page[wire.Execution]](f.get("/api/v1/executions?status=succeeded"), http.StatusOK).Items) == 1
	})
	f.purge(streams.Executions)
	check("ended", want[wire.Execution](f.get("/api/v1/executions/"+id), http.StatusOK), false)
	check("listed", want[wire.Page[wire.Execution]](f.get("/api/v1/executions"), http.StatusOK).Items[0], false)
}
