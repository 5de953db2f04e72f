package scheduler

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func TestFiveExecutionsAtLimitTwoStartInOrderAsSlotsComeFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1")
	w.run("r1", 8, g.wait)
	ids := w.requestMany(5, "core.deploy", 2)
	w.awaitStatus(ids[1], streams.Running)
	for i, end := range []int{0, 1, 3} {
		w.notYet(ids[2+i])
		g.end(ids[end])
		w.awaitStatus(ids[2+i], streams.Running)
	}
	g.openAll()
	w.await(5)
	w.checkHistory(2, ids)
	eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
}

// notYet checks that an execution has not started although the leader has nothing more to do: the leader
// answers questions on the loop that admits.
func (w *world) notYet(id string) {
	w.t.Helper()
	var p streams.Position
	w.ask(streams.RPCQueuePosition, streams.PositionRequest{ID: id, After: 1 << 40}, &p) // as soon as it is known
	if !p.Known || p.Position == 0 {
		w.t.Errorf("execution %s: %+v, want it to wait", id, p)
	}
}

func TestOrderAndLimitHoldOverManyExecutions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ limit, runners, n int }{{1, 3, 400}, {2, 3, 400}, {5, 3, 400}} {
		t.Run(strconv.Itoa(c.limit)+" at once", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.schedule("s1")
			for i := range c.runners {
				w.run("r"+strconv.Itoa(i), 8, func(string) {})
			}
			ids := w.requestMany(c.n, "core.echo", c.limit)
			w.await(c.n)
			w.checkHistory(c.limit, ids)
			eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
		})
	}
}

func TestKeysAreQueuesOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1")
	w.run("r1", 8, g.wait)
	a1, a2, b1 := w.request("core.echo", "a.*", 1), w.request("core.echo", "a.*", 1), w.request("core.echo", "b", 1)
	w.awaitStatus(a1, streams.Running)
	w.awaitStatus(b1, streams.Running)
	w.notYet(a2)
	g.end(a1)
	w.awaitStatus(a2, streams.Running)
}

// Schedulers die and take over, cleanly and not, while hundreds of executions go through.
func TestOrderAndLimitHoldOverChangesOfLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.run("r"+strconv.Itoa(i), 4, func(string) {})
	}
	first, second := w.schedule("s1"), w.schedule("s2")
	eventually(t, "a leader", func() bool { return first.leading.current.Load() != nil || second.leading.current.Load() != nil })
	if second.leading.current.Load() != nil {
		first, second = second, first
	}
	const n = 300
	var ids []string
	for len(ids) < n {
		ids = append(ids, w.requestMany(n/3, "core.echo", 1)...)
		switch len(ids) {
		case n / 3:
			first.stop()
			w.schedule("s3")
		case 2 * n / 3:
			second.kill()
		}
	}
	w.await(n)
	w.checkHistory(1, ids)
	eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
}

func TestAStandbyTakesOverWithinFiveSecondsOfAKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("r1", 4, func(string) {})
	first := w.schedule("s1")
	w.awaitLeader(first)
	second := w.schedule("s2")
	id := w.request("core.echo", "", 1)
	w.awaitStatus(id, streams.Succeeded)
	killed := time.Now()
	first.kill()
	id = w.request("core.echo", "", 1)
	w.awaitStatus(id, streams.Running)
	if d := time.Since(killed); d > 15*time.Second {
		t.Errorf("taken over after %v", d)
	}
	w.awaitLeader(second)
	stopped := time.Now()
	third := w.schedule("s3")
	second.stop()
	w.awaitLeader(third)
	if d := time.Since(stopped); d > streams.LeaseTTL*3/4 {
		t.Errorf("taken over %v after a clean stop", d)
	}
}

// A leader that was replaced while it was stopped goes on dispatching: the server refuses all of it.
func TestAReplacedLeaderIsRefused(t *testing.T) {
	t.Parallel()
	for name, replicated := range map[string]bool{"pipelined": false, "in batches": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s, err := New(Config{Bus: w.bus, Logger: testLogger()})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 100)
			stale, err := s.newTerm(t.Context(), func(cause error) { ended <- cause })
			if err != nil {
				t.Fatal(err)
			}
			stale.replicated = replicated
			if _, err := s.newTerm(t.Context(), func(error) {}); err != nil {
				t.Fatal(err)
			}
			s.leading.begin(stale)
			go func() { ended <- stale.dispatchAll(t.Context()) }()
			stale.dispatch.put(admission.Admission{ID: mustID(t, execution.NewID()), Pool: "default", Queue: admission.Queue{Action: pack.Ref{Pack: "core", Name: "echo"}}, Attempt: 1})
			if err := <-ended; !errors.Is(err, errFenced) {
				t.Errorf("the stale leader goes on: %v", err)
			}
			if n := w.onRuns(); n != 1 {
				t.Errorf("RUNS holds %d messages, want the marker only", n)
			}
		})
	}
}

func mustID(t testing.TB, s string) admission.ID {
	t.Helper()
	id, err := parseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *world) onRuns() uint64 {
	w.t.Helper()
	s, err := w.bus.JS.Stream(w.t.Context(), streams.Runs)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// Executions in every state, no leader; then one comes and must find each in its place.
func TestALeaderFindsEverythingInItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	r := w.run("r1", 2, g.wait)
	first := w.schedule("s1")
	ids := w.requestMany(6, "core.echo", 3) // two run, the third waits on RUNS
	w.awaitStatus(ids[1], streams.Running)
	w.awaitPhase(ids[2], admission.Dispatched, first)
	first.stop()
	if _, err := w.facts.Cancel(t.Context(), "core.echo", ids[3], "test"); err != nil {
		t.Fatal(err)
	}
	g.end(ids[0]) // ends while nobody leads, and the runner takes the third
	w.awaitStatus(ids[2], streams.Running)
	r.beat()
	second := w.schedule("s2")
	w.awaitLeader(second)
	var view streams.QueueView
	w.ask(streams.RPCQueueShow, streams.QueueRequest{Action: "core.echo"}, &view)
	want := []string{ids[1], ids[2], ids[4], ids[5]}
	if got := idsOf(view.Entries); !slices.Equal(got, want) {
		t.Errorf("line %v, want %v", got, want)
	}
	if view.Running != 3 || view.Waiting != 1 {
		t.Errorf("stats %+v, want 3 running and 1 waiting", view.QueueStats)
	}
	g.openAll()
	for _, id := range []string{ids[1], ids[2], ids[4], ids[5]} {
		w.awaitStatus(id, streams.Succeeded)
	}
	w.checkHistory(3, ids)
}

func idsOf(entries []streams.QueueEntry) (ids []string) {
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

func (w *world) awaitPhase(id string, phase admission.Phase, c *copyOf) {
	w.t.Helper()
	eventually(w.t, "a phase of "+id, func() bool {
		term := c.leading.current.Load()
		if term == nil {
			return false
		}
		var p admission.Place
		if term.do(w.t.Context(), func() { p, _ = term.state.Find(mustID(w.t, id)) }) != nil {
			return false
		}
		return p.Phase == phase && p.ID != admission.ID{}
	})
}

func TestACanceledWaitingExecutionMakesRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1")
	w.run("r1", 8, g.wait)
	ids := w.requestMany(3, "core.echo", 1)
	w.awaitStatus(ids[0], streams.Running)
	if _, err := w.facts.Cancel(t.Context(), "core.echo", ids[1], "test"); err != nil {
		t.Fatal(err)
	}
	g.end(ids[0])
	w.awaitStatus(ids[2], streams.Running)
	g.openAll()
	w.await(2)
	w.checkHistory(1, ids)
	eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
}

// A runner that is being asked to stop still holds its slot.
func TestACancelingExecutionKeepsItsSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	first := w.schedule("s1")
	w.run("r1", 8, g.wait)
	ids := w.requestMany(2, "core.echo", 1)
	w.awaitStatus(ids[0], streams.Running)
	if _, err := w.facts.Cancel(t.Context(), "core.echo", ids[0], "test"); err != nil {
		t.Fatal(err)
	}
	first.stop()
	w.awaitLeader(w.schedule("s2")) // it holds for a leader who finds it so, too
	w.notYet(ids[1])
}

func TestAPausedQueueAdmitsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	first := w.schedule("s1")
	w.run("r1", 8, g.wait)
	w.control("core.echo", `{"v":1,"paused":true}`)
	eventually(t, "a pause", func() bool { return w.stats().Paused })
	id := w.request("core.echo", "", 1)
	other := w.request("core.other", "", 1)
	w.awaitStatus(other, streams.Running)
	w.notYet(id)
	first.stop()
	w.awaitLeader(w.schedule("s2"))
	w.notYet(id)
	w.control("core.echo", `{"v":1,"paused":false}`)
	w.awaitStatus(id, streams.Running)
}

func (w *world) control(queue, value string) {
	w.t.Helper()
	kv, err := w.bus.JS.KeyValue(w.t.Context(), streams.BucketQueues)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := kv.Put(w.t.Context(), queue, []byte(value)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stats() (st streams.QueueStats) {
	m, err := w.bus.Conn.Request(streams.RPCQueueStats, []byte(`{"action":"core.echo"}`), patience)
	if errors.Is(err, nats.ErrNoResponders) {
		return st // nobody leads yet
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.ask(streams.RPCQueueStats, streams.QueueRequest{Action: "core.echo"}, &st)
	_ = m
	return st
}

func declare(ref pack.Ref, p admission.Policy) *declared {
	return &declared{actions: map[pack.Ref]admission.Policy{ref: p}}
}

func TestLimitsChangeWhileExecutionsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	echo := pack.Ref{Pack: "core", Name: "echo"}
	s := w.schedule("s1", func(s *Scheduler) { s.policies.set(declare(echo, admission.Policy{Limit: 3})) })
	w.run("r1", 8, g.wait)
	ids := w.requestMany(8, "core.echo", 1) // what requests carry does not count
	w.awaitStatus(ids[2], streams.Running)
	s.policies.set(declare(echo, admission.Policy{Limit: 1}))
	eventually(t, "the new limit", func() bool { return w.stats().Limit == 1 })
	g.end(ids[0])
	g.end(ids[1])
	w.awaitStatus(ids[1], streams.Succeeded)
	w.notYet(ids[3])
	g.end(ids[2])
	w.awaitStatus(ids[3], streams.Running)
	w.notYet(ids[4])
	s.policies.set(declare(echo, admission.Policy{Limit: 2}))
	w.awaitStatus(ids[4], streams.Running)
	w.notYet(ids[5])
}

// requestInBatches requests many at once, in order, over so many keys, and gives the ids by key.
func (w *world) requestInBatches(n, keys, limit int) map[string][]string {
	w.t.Helper()
	byKey := map[string][]string{}
	for from := 0; from < n; from += 250 {
		var rs []execution.Request
		for i := from; i < min(from+250, n); i++ {
			r := execution.Request{
				ID: execution.NewID(), Action: "core.echo", PackDigest: "d", Parameters: []byte(`{}`), Key: "host-" + strconv.Itoa(i%keys),
				Limit: limit, Pool: streams.DefaultPool, By: "test",
			}
			byKey[r.Key] = append(byKey[r.Key], r.ID)
			rs = append(rs, r)
		}
		if err := w.facts.RequestNew(w.t.Context(), w.bus, rs); err != nil {
			w.t.Fatal(err)
		}
	}
	return byKey
}

// Executions that had to wait start in the order of their requests, however many there are, while others come in
// and are worked off beside them.
func TestDelayedExecutionsKeepTheirOrderUnderLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, keys, limit int }{{1000, 1, 2}, {10_000, 100, 2}} {
		t.Run(strconv.Itoa(c.n)+" over "+strconv.Itoa(c.keys), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.control("core.echo", `{"v":1,"paused":true}`)
			w.schedule("s1")
			for i := range 3 {
				w.run("r"+strconv.Itoa(i), 64, func(string) {})
			}
			byKey := w.requestInBatches(c.n, c.keys, c.limit)
			eventually(t, "all to wait", func() bool { return w.stats().Waiting == c.n })
			w.control("core.echo", `{"v":1}`)
			others := w.requestMany(200, "core.load", 4)
			w.await(c.n + len(others))
			for _, ids := range byKey {
				w.checkHistory(c.limit, ids)
			}
		})
	}
}
