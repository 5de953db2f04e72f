package scheduler

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// requestWith requests an execution of core.echo that is changed first.
func (w *world) requestWith(change func(*execution.Request)) string {
	w.t.Helper()
	r := execution.Request{
		ID: execution.NewID(), Action: "core.echo", PackDigest: "d", Parameters: json.RawMessage(`{"n":1}`), Limit: 1, Pool: streams.DefaultPool, By: "test",
	}
	change(&r)
	if _, err := w.facts.Request(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	return r.ID
}

func retry(attempts int, delay time.Duration, hold bool, on ...streams.Status) func(*execution.Request) {
	return func(r *execution.Request) {
		r.Retry = &streams.Retry{Attempts: attempts, DelaySeconds: delay.Seconds(), On: on, Hold: hold}
	}
}

// starts gives who was started, in order, as "place/attempt".
func (w *world) starts(ids []string) (all []string) {
	for _, f := range w.history() {
		if f.Status == streams.Running {
			all = append(all, fmt.Sprintf("%d/%d", slices.Index(ids, f.ID), f.Attempt))
		}
	}
	return all
}

// failsUntil fails every attempt of an execution before that one.
func failsUntil(id *string, attempt int) func(streams.Fact) bool {
	return func(f streams.Fact) bool { return f.ID == *id && f.Attempt < attempt }
}

func TestTheNextAttemptStandsBehindOrKeepsItsSlot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hold bool
		want []string
	}{
		{false, []string{"0/1", "1/1", "2/1", "0/2", "0/3"}},
		{true, []string{"0/1", "0/2", "0/3", "1/1", "2/1"}},
	} {
		t.Run(fmt.Sprintf("hold %v", c.hold), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := w.newGate()
			failing := w.requestWith(retry(3, 0, c.hold, streams.Failed))
			ids := append([]string{failing}, w.requestMany(2, "core.echo", 1)...)
			w.schedule("s1")
			w.runFailing("r1", 4, g.wait, failsUntil(&failing, 3))
			w.awaitStatus(ids[0], streams.Running)
			g.openAll()
			w.await(3)
			if diff := cmp.Diff(c.want, w.starts(ids)); diff != "" {
				t.Errorf("starts (-want +got):\n%s", diff)
			}
			last := w.awaitStatus(failing, streams.Succeeded)
			if len(last.Previous) != 2 || last.Previous[1].Status != streams.Failed || last.Previous[1].Error == nil || last.Attempt != 3 {
				t.Errorf("last fact %+v", last)
			}
			w.checkHistory1(ids)
			eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
		})
	}
}

// checkHistory1 checks that never two ran at once, over all attempts.
func (w *world) checkHistory1(ids []string) {
	w.t.Helper()
	running := 0
	for _, f := range w.history() {
		switch {
		case !slices.Contains(ids, f.ID):
		case f.Status == streams.Running:
			running++
		case f.Status == streams.Requested && f.Attempt > 1, execution.Final(f.Status) && f.Runner != "":
			running--
		}
		if running > 1 {
			w.t.Fatalf("%d run at once", running)
		}
	}
}

// A delay is a fact: whoever leads when it is over brings the attempt on, and nobody earlier.
func TestADelaySurvivesChangesOfLeader(t *testing.T) {
	t.Parallel()
	for _, hold := range []bool{false, true} {
		t.Run(fmt.Sprintf("hold %v", hold), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			failing := w.requestWith(retry(2, 12*time.Second, hold, streams.Failed))
			first := w.schedule("s1")
			w.runFailing("r1", 4, func(string) {}, failsUntil(&failing, 2))
			w.until("the next attempt", func(all []execution.Fact) bool {
				return slices.ContainsFunc(all, func(f execution.Fact) bool { return f.Status == streams.Requested && f.Attempt == 2 })
			})
			first.kill()
			second := w.schedule("s2")
			w.awaitLeader(second)
			st := w.stats()
			if hold && st.Running != 1 || !hold && st.Delayed != 1 || st.Waiting != 0 {
				t.Errorf("stats in between: %+v", st)
			}
			w.awaitStatus(failing, streams.Succeeded)
			var due time.Time
			for _, f := range w.history() {
				switch {
				case f.Attempt == 2 && f.Status == streams.Requested:
					due = *f.NotBefore
				case f.Attempt == 2 && f.Status == streams.Running && f.At.Before(due):
					t.Errorf("started at %v, %v too early", f.At, due.Sub(f.At))
				}
			}
			eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
		})
	}
}

// What became of a lost attempt is not known; where the action says so one more is made, and the lost runner's late
// word does not count.
func TestALostAttemptIsRepeatedWhereTheActionSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.newGate()
	w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) })
	r1 := w.run("r1", 1, g.wait)
	id := w.requestWith(retry(2, 0, false, streams.Lost))
	lost := w.awaitStatus(id, streams.Running)
	w.run("r2", 1, func(string) {})
	r1.die()
	end := w.awaitStatus(id, streams.Succeeded)
	if end.Attempt != 2 || end.Runner != "r2" || len(end.Previous) != 1 || end.Previous[0].Status != streams.Lost || end.Previous[0].Runner != "r1" {
		t.Errorf("end %+v", end)
	}
	late := lost
	late.Status, late.At = streams.Succeeded, time.Now().UTC()
	if _, err := w.facts.EndAttempt(t.Context(), execution.State{Fact: lost, Sequence: 2}, late); err == nil {
		t.Error("the late end of the lost attempt was accepted")
	}
	w.checkHistory1([]string{id})
}

func TestAnExecutionBetweenTwoAttemptsCanBeCanceled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	failing := w.requestWith(retry(2, time.Hour, true, streams.Failed))
	behind := w.request("core.echo", "", 1)
	w.schedule("s1")
	w.runFailing("r1", 4, func(string) {}, failsUntil(&failing, 2))
	w.until("the next attempt", func(all []execution.Fact) bool {
		return slices.ContainsFunc(all, func(f execution.Fact) bool { return f.Status == streams.Requested && f.Attempt == 2 })
	})
	w.notYet(behind)
	if st, err := w.facts.Cancel(t.Context(), "core.echo", failing, "test"); err != nil || st.Status != streams.Canceled {
		t.Fatalf("cancel: %+v, %v", st, err)
	}
	w.awaitStatus(behind, streams.Succeeded)
	eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
}

// A first attempt may be requested for later, too.
func TestAnExecutionForLaterIsPutInLineThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.awaitLeader(w.schedule("s1"))
	w.run("r1", 4, func(string) {})
	at := time.Now().Add(800 * time.Millisecond).UTC().Round(time.Microsecond)
	later := w.requestWith(func(r *execution.Request) { r.NotBefore = &at })
	w.awaitStatus(w.request("core.echo", "", 1), streams.Succeeded) // it is in nobody's way
	again, err := w.facts.Request(t.Context(), execution.Request{
		ID: later, Action: "core.echo", PackDigest: "d", Parameters: json.RawMessage(`{"n":1}`), Limit: 1, Pool: streams.DefaultPool,
	})
	if err != nil || again.QueueSeq != 0 {
		t.Errorf("requested again: %+v, %v", again, err)
	}
	if f := w.awaitStatus(later, streams.Running); f.At.Before(at) {
		t.Errorf("started %v too early", at.Sub(f.At))
	}
}
