package scheduler

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

func TestWhatARunnerLostEndsAsLostAndFreesItsSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) })
	r := w.run("r1", 8, g.wait)
	ids := w.requestMany(2, "core.echo", 1)
	w.awaitStatus(ids[0], streams.Running)
	r.die()
	if f := w.awaitStatus(ids[0], streams.Lost); f.Error == nil || f.Error.Class != streams.ClassRunnerLost || f.EndedAt == nil {
		t.Errorf("fact %+v", f)
	}
	w.awaitStatus(ids[1], streams.Running)
	g.end(ids[0]) // too late: the result is refused
	g.end(ids[1])
	w.awaitStatus(ids[1], streams.Succeeded)
	if st, err := w.facts.Last(t.Context(), "core.echo", ids[0]); err != nil || st.Status != streams.Lost {
		t.Errorf("state %+v, %v", st, err)
	}
}

// The entry expired while nobody led, or nobody was told.
func TestASilentRunnerIsMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	first := w.schedule("s1")
	r := w.run("r1", 8, g.wait)
	id := w.request("core.echo", "", 1)
	w.awaitStatus(id, streams.Running)
	first.stop()
	r.die()
	w.schedule("s2", func(s *Scheduler) { quickPace(&s.pace) })
	w.awaitStatus(id, streams.Lost)
}

func TestARestartedRunnerHasLostWhatItRan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) })
	r := w.run("r1", 8, g.wait)
	old := w.request("core.echo", "", 1)
	w.awaitStatus(old, streams.Running)
	r.since = time.Now().UTC()
	r.beat()
	w.awaitStatus(old, streams.Lost)
	young := w.request("core.echo", "", 1)
	w.awaitStatus(young, streams.Running)
	r.beat()
	g.end(young)
	w.awaitStatus(young, streams.Succeeded)
}

func TestALivingRunnerKeepsWhatItRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	s := w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) })
	w.run("r1", 8, g.wait)
	id := w.request("core.echo", "", 1)
	w.awaitStatus(id, streams.Running)
	term := s.leading.current.Load()
	for range 5 { // more visits than silence takes: the entry is read each time and found
		eventually(t, "a sign of life", func() bool {
			var quiet bool
			_ = term.do(t.Context(), func() { quiet = time.Since(term.fleet.runners["r1"].seen) > 150*time.Millisecond })
			return quiet
		})
		eventually(t, "a visit", func() bool {
			var heard bool
			_ = term.do(t.Context(), func() { heard = time.Since(term.fleet.runners["r1"].seen) < 150*time.Millisecond })
			return heard
		})
	}
	if st, err := w.facts.Last(t.Context(), "core.echo", id); err != nil || st.Status != streams.Running {
		t.Errorf("state %+v, %v", st, err)
	}
}

// Somebody who was late puts the queue message of an ended execution back, and the leader has never heard of it.
func TestAStaleQueueMessageIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.schedule("s1")
	w.run("r1", 8, func(string) {})
	id := w.request("core.echo", "", 1)
	fact := w.awaitStatus(id, streams.Succeeded)
	eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
	if seq, err := w.facts.Enqueue(t.Context(), fact); err != nil || seq == 0 {
		t.Fatal(seq, err)
	}
	eventually(t, "an empty QUEUE, by memory", func() bool { return w.queueLength() == 0 })
	first.stop()
	second := w.schedule("s2", func(s *Scheduler) { quickPace(&s.pace) })
	w.awaitLeader(second)
	if seq, err := w.facts.Enqueue(t.Context(), fact); err != nil || seq == 0 {
		t.Fatal(seq, err)
	}
	eventually(t, "an empty QUEUE, by looking", func() bool { return w.queueLength() == 0 })
	next := w.request("core.echo", "", 1)
	w.awaitStatus(next, streams.Succeeded)
	w.checkHistory(1, []string{id, next})
}

func TestWhatIsLostFromRunsIsDispatchedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) })
	ids := w.requestMany(2, "core.echo", 1)
	w.awaitPhase(ids[0], admission.Dispatched, s)
	runs, err := w.bus.JS.Stream(t.Context(), streams.Runs)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a dispatch", func() bool { return w.onRuns() == 2 })
	subject, err := streams.RunSubject(streams.DefaultPool, ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := runs.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
		t.Fatal(err)
	}
	w.run("r1", 1, func(string) {})
	w.await(2)
	w.checkHistory(1, ids)
}

func TestWhoWaitsOnRunsIsNotReadWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.awaitLeader(w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) }))
	ids := w.requestMany(2, "core.echo", 1)
	eventually(t, "a dispatch", func() bool { return w.onRuns() == 2 })
	reads, err := w.bus.Conn.SubscribeSync("$JS.API.DIRECT.GET.*")
	if err != nil {
		t.Fatal(err)
	}
	for looks := 0; looks < 3; {
		m, err := reads.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		switch m.Subject {
		case "$JS.API.DIRECT.GET." + streams.Runs:
			looks++
		case "$JS.API.DIRECT.GET." + streams.Executions:
			if looks > 0 { // else it is of a look before the dispatch
				t.Error("facts are read of executions that wait for a runner")
			}
		}
	}
	w.run("r1", 1, func(string) {})
	w.await(2)
	w.checkHistory(1, ids)
}

// The marker itself is lost with RUNS: the leader is refused, takes the leadership again and goes on.
func TestALeaderSurvivesTheLossOfRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("r1", 4, func(string) {})
	w.awaitLeader(w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) }))
	runs, err := w.bus.JS.Stream(t.Context(), streams.Runs)
	if err != nil {
		t.Fatal(err)
	}
	if err := runs.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids := w.requestMany(3, "core.echo", 1)
	w.await(3)
	w.checkHistory(1, ids)
}

func TestARequestWhoseRequesterDiedIsQueued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.awaitLeader(w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) }))
	w.run("r1", 1, func(string) {})
	id := execution.NewID()
	m, err := execution.NewMessage(execution.Fact{ID: id, Action: "core.echo", Status: streams.Requested, Attempt: 1, Pool: "default", RequestedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.bus.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.awaitStatus(id, streams.Succeeded)
}

func TestWhatIsNotARequestIsTakenOffTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, subject := range []string{"attune.queue.junk", "attune.queue.core.echo._.not-an-id", "attune.queue._leader.1"} {
		if _, err := w.bus.JS.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.schedule("s1")
	w.run("r1", 1, func(string) {})
	id := w.request("core.echo", "", 1)
	w.awaitStatus(id, streams.Succeeded)
	eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
}

// A connection that breaks and comes back costs time, nothing else.
func TestARestartOfTheServerCostsOnlyTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) })
	w.run("r1", 4, func(string) {})
	ids := w.requestMany(50, "core.echo", 1)
	w.await(10)
	if err := w.server.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		eventually(t, "the end of "+id, func() bool {
			st, err := w.facts.Last(t.Context(), "core.echo", id)
			return err == nil && execution.Final(st.Status)
		})
	}
}
