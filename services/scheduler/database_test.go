package scheduler

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// with gives a scheduler a database, as New does.
func with(pool *pgxpool.Pool) func(*Scheduler) {
	return func(s *Scheduler) {
		s.DB, s.history = pool, history.New(pool)
		quickPace(&s.pace)
	}
}

// remember writes an execution into history that the streams do not have.
func remember(t *testing.T, pool *pgxpool.Pool, facts ...execution.Fact) {
	t.Helper()
	var at []history.FactAt
	for i, f := range facts {
		at = append(at, history.FactAt{Fact: f, Seq: uint64(i + 1)})
	}
	if err := history.New(pool).ApplyFacts(t.Context(), history.FactBatch{Epoch: 1}, at); err != nil {
		t.Fatal(err)
	}
}

func requestedFact(id string) execution.Fact {
	at := time.Now().UTC().Add(-time.Hour).Round(time.Microsecond)
	return execution.Fact{
		Version: 1, ID: id, Action: "core.echo", PackDigest: "d", Status: streams.Requested, Attempt: 1, At: at, RequestedAt: at,
		Limit: 1, Key: "k", Pool: "default", Parameters: json.RawMessage(`{"n": 1}`),
	}
}

func runningFact(id string) execution.Fact {
	f := requestedFact(id)
	f.Status, f.Runner, f.StartedAt, f.Parameters = streams.Running, "r0", &f.At, nil
	return f
}

func TestWhatWasLostWithTheStreamsIsRequestedAgainOrEndsAsLost(t *testing.T) {
	t.Parallel()
	w, pool := newWorld(t), dbtest.New(t)
	waiting, running := execution.NewID(), execution.NewID()
	remember(t, pool, requestedFact(waiting), requestedFact(running), runningFact(running))
	w.schedule("s1", with(pool))
	w.run("r1", 1, func(string) {})
	f := w.awaitStatus(waiting, streams.Requested)
	if !f.RequestedAt.Equal(requestedFact(waiting).RequestedAt) && time.Since(f.RequestedAt) < time.Minute {
		t.Errorf("it is requested anew at %v", f.RequestedAt)
	}
	if f.Key != "k" || string(f.Parameters) != `{"n":1}` {
		t.Errorf("it is requested as %+v", f)
	}
	w.awaitStatus(waiting, streams.Succeeded)
	if f := w.awaitStatus(running, streams.Lost); f.Error == nil || f.EndedAt == nil || f.Runner != "r0" {
		t.Errorf("lost as %+v", f)
	}
}

// The requester died between fact and queue message before this leader came.
func TestAnOldOrphanIsFoundInHistory(t *testing.T) {
	t.Parallel()
	w, pool := newWorld(t), dbtest.New(t)
	id := execution.NewID()
	m, err := execution.NewMessage(requestedFact(id))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.bus.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.awaitLeader(w.schedule("s1", with(pool)))
	remember(t, pool, requestedFact(id)) // the recorder lags a little
	w.run("r1", 1, func(string) {})
	w.awaitStatus(id, streams.Succeeded)
}

// Its queue message was deleted by hand while it ran: its runner is still watched over.
func TestARunningExecutionWithoutQueueMessageIsWatchedOver(t *testing.T) {
	t.Parallel()
	w, pool := newWorld(t), dbtest.New(t)
	id := execution.NewID()
	for _, f := range []execution.Fact{requestedFact(id), runningFact(id)} {
		m, err := execution.NewMessage(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.bus.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	remember(t, pool, requestedFact(id), runningFact(id))
	w.schedule("s1", with(pool))
	w.awaitStatus(id, streams.Lost)
}

func TestDefinitionsSayTheLimitAlsoWhenTheyChange(t *testing.T) {
	t.Parallel()
	w, pool := newWorld(t), dbtest.New(t)
	g := w.newGate()
	install(t, pool, 2)
	w.schedule("s1", with(pool))
	w.run("r1", 8, g.wait)
	ids := w.requestMany(4, "demo.act", 1)
	w.awaitStatus(ids[1], streams.Running)
	w.notYet(ids[2])
	install(t, pool, 3)
	w.awaitStatus(ids[2], streams.Running)
	w.notYet(ids[3])
}

func install(t *testing.T, pool *pgxpool.Pool, limit int) {
	t.Helper()
	p := pack.Pack{Name: "demo", Version: "1.0.0", Actions: []pack.Action{
		{Name: "act", Runtime: "shell", EntryPoint: "act.sh", Concurrency: pack.Concurrency{Limit: limit}},
	}}
	in := definitions.Installed{Pack: p, Digest: strings.Repeat(strconv.Itoa(limit), 64), Source: "api", By: "test"}
	if _, err := definitions.New(pool).Install(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// History that cannot be read holds nothing up.
func TestADatabaseThatIsAwayDoesNotStopAdmission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pool, link := dbtest.NewLinked(t)
	link.Cut()
	w.schedule("s1", with(pool))
	w.run("r1", 1, func(string) {})
	w.awaitStatus(w.request("core.echo", "", 1), streams.Succeeded)
}
