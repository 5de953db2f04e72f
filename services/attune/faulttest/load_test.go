package faulttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/services/attune/attunetest/checker"
)

// group is the load of one queue, requested one after the other, and what is known of it.
type group struct {
	c         *cluster
	queue     string
	notes     string // the file of its marks
	action    string
	limit     int
	attempts  int
	holdMS    int
	failEvery int           // every so many fail their first attempt; 0: none
	hold      bool          // see checker.History
	every     time.Duration // see checker.History
	asked     []checker.Request
	since     time.Time // nothing of it is older
	byEvent   bool      // its executions are known by the events that led to them
}

func (c *cluster) group(queue, action string, limit int) *group {
	return &group{c: c, queue: queue, notes: attunetest.SharedFile(c.t, "marks-"+queue), action: action, limit: limit, attempts: 1, since: time.Now().Add(-time.Minute)}
}

func (g *group) file() string { return g.notes }

// parameters are those of a number.
func (g *group) parameters(n int) json.RawMessage {
	p := map[string]any{"n": n, "file": g.file(), "queue": g.queue}
	if g.failEvery > 0 && n%g.failEvery == 0 {
		p["fail"] = 1
	}
	if g.holdMS > 0 {
		p["hold_ms"] = g.holdMS
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // numbers and texts
	}
	return text
}

// request asks for so many more executions, each when the one before was accepted.
func (g *group) request(count int) {
	g.c.t.Helper()
	for range count {
		g.requestOne()
	}
}

func (g *group) requestOne() {
	g.c.t.Helper()
	n := len(g.asked) + 1
	accepted, err := g.try(n)
	if err != nil {
		g.c.t.Fatalf("request %d: %v", n, err)
	}
	g.asked = append(g.asked, checker.Request{N: n, ID: accepted.ID})
}

// try requests a number, with the same key again and again until it is accepted, as a patient client does.
func (g *group) try(n int) (api.ExecutionAccepted, error) {
	r := api.ExecutionRequest{Action: g.action, Parameters: g.parameters(n)}
	return insist(g.c.t, func() (api.ExecutionAccepted, error) {
		return g.c.client.Run(g.c.t.Context(), r, fmt.Sprintf("%s-%d", g.queue, n))
	})
}

// publish publishes so many more events, each when the one before was accepted.
func (g *group) publish() {
	g.c.t.Helper()
	n := len(g.asked) + 1
	e := api.EventRequest{Trigger: "fault.ping", ID: uuid.NewString(), Payload: g.parameters(n)}
	if _, err := insist(g.c.t, func() (api.EventAccepted, error) { return g.c.client.Publish(g.c.t.Context(), e) }); err != nil {
		g.c.t.Fatalf("publish %d: %v", n, err)
	}
	g.byEvent = true
	g.asked = append(g.asked, checker.Request{N: n, ID: e.ID})
}

// insist repeats what the API could not take just now.
func insist[T any](t testing.TB, do func() (T, error)) (T, error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		v, err := do()
		var p *client.Problem
		passing := errors.Is(err, client.ErrUnreachable) || errors.As(err, &p) && p.Status >= 500
		if !passing || time.Now().After(deadline) || t.Context().Err() != nil {
			return v, err
		}
	}
}

// marks reads what its actions noted.
func (g *group) marks() []checker.Mark {
	g.c.t.Helper()
	marks, err := checker.ReadMarks(g.file())
	if err != nil {
		g.c.t.Fatal(err)
	}
	return marks
}

// started counts the starts that were noted.
func (g *group) started() (n int) {
	for _, m := range g.marks() {
		if !m.End {
			n++
		}
	}
	return n
}

// executions lists those of the queue.
func (g *group) executions() []checker.Execution {
	g.c.t.Helper()
	var own []checker.Execution
	for _, x := range g.list(client.Filter{}, 0) {
		if x.Key != g.queue {
			continue
		}
		own = append(own, checker.Of(x))
		if g.byEvent {
			own[len(own)-1].ID = x.Event
		}
	}
	return own
}

// settle waits until everything that was asked for has ended, and judges it. It waits as long as there is progress.
func (g *group) settle() checker.History {
	g.c.t.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	h := g.history()
	for noted, since := 0, time.Now(); !g.ended(h) && time.Since(since) < stall; h = g.history() {
		for now := len(g.marks()); g.unfinished() && time.Since(since) < stall; now = len(g.marks()) {
			if now > noted {
				noted, since = now, time.Now()
			}
			<-look.C
		}
		<-look.C
	}
	for _, err := range h.Check() {
		g.c.t.Errorf("%s: %v", g.queue, err)
	}
	return h
}

// stall is how long nothing may start or end before a test goes on to see what is missing. A lost dispatch and a
// lost runner one after the other are less.
const stall = time.Minute

// unfinished tells whether the API lists something that has not ended.
func (g *group) unfinished() bool {
	g.c.t.Helper()
	return slices.ContainsFunc(g.list(client.Filter{"status": "requested,running,canceling"}, 1), func(api.Execution) bool { return true })
}

// list lists executions of the action since the group was made.
func (g *group) list(f client.Filter, limit int) []api.Execution {
	g.c.t.Helper()
	f["action"], f["since"] = g.action, g.since.Format(time.RFC3339)
	all, err := insist(g.c.t, func() ([]api.Execution, error) {
		items, _, err := g.c.client.Executions(g.c.t.Context(), f, limit)
		return items, err
	})
	if err != nil {
		g.c.t.Fatal(err)
	}
	return all
}

func (g *group) history() checker.History {
	g.c.t.Helper()
	x := g.executions()
	return checker.History{
		Limit: g.limit, Attempts: g.attempts, Hold: g.hold, Every: g.every, Requests: g.asked, Executions: x, Marks: g.marks(),
	}
}

// ended tells whether all that was asked for is known to have ended. It may never be: the wait is bounded, and the
// checker says then what is missing.
func (g *group) ended(h checker.History) bool {
	done := map[string]bool{}
	for _, x := range h.Executions {
		done[x.ID] = execution.Final(x.Status)
	}
	return !slices.ContainsFunc(g.asked, func(r checker.Request) bool { return !done[r.ID] })
}

// statuses counts how executions ended.
func statuses(h checker.History) map[string]int {
	n := map[string]int{}
	for _, x := range h.Executions {
		n[string(x.Status)]++
	}
	return n
}

// waiting is how many have been asked for and have not started.
func (g *group) waiting() int { return len(g.asked) - g.started() }
