package scheduler

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

func TestWhoMayNotWaitIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1")
	w.run("r1", 4, g.wait)
	reject := func(r *execution.Request) { r.Reject = true }
	first := w.requestWith(reject)
	w.awaitStatus(first, streams.Running)
	second := w.requestWith(reject)
	end := w.awaitStatus(second, streams.Canceled)
	if end.Error == nil || end.Error.Class != streams.ClassQueueFull {
		t.Errorf("end %+v", end)
	}
	g.end(first)
	eventually(t, "the slot", func() bool { return w.stats().Running == 0 })
	third := w.requestWith(reject)
	w.awaitStatus(third, streams.Running)
}

// A drain takes what was queued before it was said, retries included, and nothing after; also under the next leader.
func TestADrainFinishesTheOldAndRefusesTheNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	old := w.requestWith(retry(2, 0, false, streams.Failed))
	waiting := w.request("core.echo", "", 1)
	first := w.schedule("s1")
	w.runFailing("r1", 4, g.wait, failsUntil(&old, 2))
	w.awaitStatus(old, streams.Running)
	w.control("core.echo", `{"v":1,"draining":true,"drain_after":`+strconv.FormatUint(w.queueEnd(), 10)+`}`)
	eventually(t, "the drain", func() bool { return w.stats().Draining })
	refused := w.request("core.echo", "", 1)
	if end := w.awaitStatus(refused, streams.Canceled); end.Error.Class != streams.ClassQueueDraining {
		t.Errorf("end %+v", end)
	}
	first.kill()
	w.awaitLeader(w.schedule("s2"))
	also := w.request("core.echo", "", 1)
	w.awaitStatus(also, streams.Canceled)
	g.openAll()
	w.awaitStatus(waiting, streams.Succeeded)
	if end := w.awaitStatus(old, streams.Succeeded); end.Attempt != 2 {
		t.Errorf("end %+v", end)
	}
}

func (w *world) queueEnd() uint64 {
	s, err := w.bus.JS.Stream(w.t.Context(), streams.Queue)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

func TestWhoWaitsTooLongTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1")
	w.run("r1", 4, g.wait)
	first := w.request("core.echo", "", 1)
	w.awaitStatus(first, streams.Running)
	patient := w.request("core.echo", "", 1)
	hasty := w.requestWith(func(r *execution.Request) { r.QueueTimeoutSeconds = 0.2 })
	end := w.awaitStatus(hasty, streams.TimedOut)
	if end.Error == nil || end.Error.Class != streams.ClassQueueTimeout || end.Runner != "" {
		t.Errorf("end %+v", end)
	}
	if waited := end.At.Sub(end.RequestedAt); waited < 200*time.Millisecond {
		t.Errorf("ended after %v", waited)
	}
	w.notYet(patient)
}

// A rate keeps who waits in place, and what it has used up is known to the next leader.
func TestARateHoldsOverChangesOfLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.schedule("s1")
	w.run("r1", 4, func(string) {})
	slow := func(r *execution.Request) { r.Limit, r.Rate = 0, "2/h" }
	ids := []string{w.requestWith(slow), w.requestWith(slow), w.requestWith(slow)}
	w.awaitStatus(ids[1], streams.Succeeded)
	w.notYet(ids[2])
	first.kill()
	second := w.schedule("s2")
	w.awaitLeader(second)
	w.notYet(ids[2])
	if st := w.stats(); st.BlockedBy != streams.BlockedByRate || st.Rate != "2/h" || st.Waiting != 1 {
		t.Errorf("stats %+v", st)
	}
	var view streams.QueueView
	w.ask(streams.RPCQueueShow, streams.QueueRequest{Action: "core.echo"}, &view)
	starts := view.Entries[0].EstimatedStartAt
	if starts == nil || time.Until(*starts) < 25*time.Minute || time.Until(*starts) > 31*time.Minute {
		t.Errorf("it is expected to start at %v, want in half an hour", starts)
	}
}

func TestARateSpacesStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schedule("s1")
	w.run("r1", 16, func(string) {})
	var ids []string
	for range 10 {
		ids = append(ids, w.requestWith(func(r *execution.Request) { r.Limit, r.Rate = 0, "10/s burst 1" }))
	}
	w.await(10)
	if took := w.awaitStatus(ids[9], streams.Running).At.Sub(w.awaitStatus(ids[0], streams.Running).At); took < 850*time.Millisecond {
		t.Errorf("ten at 10/s started within %v", took)
	}
	w.checkHistory(10, ids)
}

func TestLimitsOfAPackAndOfAllHoldOverQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.control(streams.ScopeAll, `{"v":1,"limit":3}`)
	w.schedule("s1")
	w.run("r1", 16, g.wait)
	for i := range 4 {
		for range 2 {
			w.requestWith(func(r *execution.Request) { r.Action, r.Limit, r.PackLimit = "core.a"+strconv.Itoa(i), 2, 2 })
			w.requestWith(func(r *execution.Request) { r.Action, r.Limit = "disk.b"+strconv.Itoa(i), 2 })
		}
	}
	runs := func() (core, all int) {
		running := map[string]bool{}
		for _, f := range w.history() {
			if f.Status == streams.Running {
				running[f.ID] = f.Action[:4] == "core"
			} else {
				delete(running, f.ID)
			}
		}
		for _, isCore := range running {
			if isCore {
				core++
			}
		}
		return core, len(running)
	}
	eventually(t, "three to run", func() bool { _, all := runs(); return all == 3 })
	if core, _ := runs(); core > 2 {
		t.Errorf("%d of the pack run, its limit is 2", core)
	}
	eventually(t, "all to be known", func() bool {
		var st streams.QueueStats
		w.ask(streams.RPCQueueStats, streams.QueueRequest{Action: streams.ScopeAll}, &st)
		return st.Running == 3 && st.Waiting == 13 && st.Limit == 3
	})
	g.openAll()
	w.await(16)
}

func TestAPauseEndsByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schedule("s1")
	w.run("r1", 4, func(string) {})
	until := time.Now().Add(700 * time.Millisecond).UTC()
	said, err := json.Marshal(streams.QueueControl{Version: 1, Paused: true, PausedUntil: &until})
	if err != nil {
		t.Fatal(err)
	}
	w.control("core", string(said))
	eventually(t, "the pause", func() bool { return w.stats().Paused || time.Now().After(until) })
	id := w.request("core.echo", "", 1)
	if f := w.awaitStatus(id, streams.Running); f.At.Before(until) {
		t.Errorf("started %v before the pause was over", until.Sub(f.At))
	}
}

func TestPrioritiesPassOthersUntilThoseHaveWaitedLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1", func(s *Scheduler) { s.Aging = time.Hour })
	w.run("r1", 4, g.wait)
	ids := []string{w.request("core.echo", "", 1)}
	w.awaitStatus(ids[0], streams.Running)
	for _, p := range []streams.Priority{streams.PriorityLow, "", streams.PriorityHigh, streams.PriorityLow, streams.PriorityHigh} {
		ids = append(ids, w.requestWith(func(r *execution.Request) { r.Priority = p }))
	}
	w.notYet(ids[5])
	g.openAll()
	w.await(6)
	want := []string{"0/1", "3/1", "5/1", "2/1", "1/1", "4/1"}
	if diff := cmp.Diff(want, w.starts(ids)); diff != "" {
		t.Errorf("starts (-want +got):\n%s", diff)
	}
}

func TestALowPriorityMovesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1", func(s *Scheduler) { s.Aging = 100 * time.Millisecond })
	w.run("r1", 4, g.wait)
	ids := []string{w.request("core.echo", "", 1)}
	w.awaitStatus(ids[0], streams.Running)
	ids = append(ids, w.requestWith(func(r *execution.Request) { r.Priority = streams.PriorityLow }))
	w.notYet(ids[1])
	eventually(t, "the low one to move up", func() bool { return w.stats().OldestWaitSeconds > 0.25 })
	ids = append(ids, w.requestWith(func(r *execution.Request) { r.Priority = streams.PriorityHigh }))
	w.notYet(ids[2])
	g.openAll()
	w.await(3)
	if starts := w.starts(ids); slices.Index(starts, "1/1") > slices.Index(starts, "2/1") {
		t.Errorf("starts %v", starts)
	}
}
