package execution_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// allowed restates the table of the design independently of the package's own.
var allowed = map[string]string{
	"requested": "running canceled timed_out lost",
	"running":   "succeeded failed timed_out canceling lost requested",
	"canceling": "canceled succeeded failed timed_out lost",
}

func TestEveryPairOfStatusesFollowsTheTable(t *testing.T) {
	t.Parallel()
	for _, from := range execution.Statuses() {
		for _, to := range execution.Statuses() {
			want := slices.Contains(strings.Fields(allowed[string(from)]), string(to))
			if got := execution.MayFollow(from, to); got != want {
				t.Errorf("%s -> %s: got %v, want %v", from, to, got, want)
			}
		}
	}
}

func request(id string) execution.Request {
	return execution.Request{ID: id, Action: "core.echo", PackDigest: "d", Pool: "default", Limit: 1, Key: "web 1", Parameters: json.RawMessage(`{ "message": "<hi>" }`)}
}

func TestARequestRepeatedIsOneExecutionInOnePlace(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	first, err := facts.Request(t.Context(), request("x1"))
	if err != nil || first.Existed || first.QueueSeq == 0 {
		t.Fatalf("first request: %+v, %v", first, err)
	}
	again, err := facts.Request(t.Context(), request("x1"))
	if err != nil || !again.Existed || again.QueueSeq != 0 || again.Sequence != first.Sequence {
		t.Fatalf("second request: %+v, %v", again, err)
	}
	other := request("x1")
	other.Parameters = json.RawMessage(`{}`)
	if _, err := facts.Request(t.Context(), other); !errors.Is(err, execution.ErrConflict) {
		t.Fatalf("request with other parameters: %v, want ErrConflict", err)
	}
}

func TestALostRequestIsRestoredAsItWasAndOnce(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	first, err := facts.Request(t.Context(), request("x1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := facts.Restore(t.Context(), first.Fact); !errors.Is(err, execution.ErrStale) {
		t.Errorf("restored what was there: %v", err)
	}
	for _, name := range []string{streams.Executions, streams.Queue} {
		s, err := b.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := facts.Restore(t.Context(), first.Fact); err != nil {
		t.Fatal(err)
	}
	st, err := facts.Last(t.Context(), "core.echo", "x1")
	if err != nil || !st.RequestedAt.Equal(first.RequestedAt) {
		t.Errorf("restored %+v, %v", st, err)
	}
	if again, err := facts.Request(t.Context(), request("x1")); err != nil || !again.Existed || again.QueueSeq != 0 {
		t.Errorf("it does not stand in line: %+v, %v", again, err)
	}
}

// A process that died between the fact and the queue message is healed by whoever asks again.
func TestARequestHealsAFactWithoutAQueueMessage(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	first, err := facts.Request(t.Context(), request("x1"))
	if err != nil {
		t.Fatal(err)
	}
	queue, err := b.JS.Stream(t.Context(), streams.Queue)
	if err != nil {
		t.Fatal(err)
	}
	if err := queue.DeleteMsg(t.Context(), first.QueueSeq); err != nil {
		t.Fatal(err)
	}
	again, err := facts.Request(t.Context(), request("x1"))
	if err != nil || again.QueueSeq <= first.QueueSeq {
		t.Fatalf("request after the loss: %+v, %v", again, err)
	}
}

func TestAFreshRequestIsRequestedAndInLine(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	for name, facts := range map[string]*execution.Facts{"singly": execution.NewFacts(b.JS), "grouped": execution.NewGroupedFacts(b)} {
		id := "fresh-" + name
		got, err := facts.RequestFresh(t.Context(), request(id))
		if err != nil || got.Existed || got.QueueSeq == 0 || got.Sequence == 0 {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		if last, err := facts.Last(t.Context(), "core.echo", id); err != nil || last.Sequence != got.Sequence || last.Status != streams.Requested {
			t.Errorf("%s: %+v, %v", name, last, err)
		}
		again, err := facts.Request(t.Context(), request(id))
		if err != nil || !again.Existed || again.QueueSeq != 0 {
			t.Errorf("%s: the same again: %+v, %v", name, again, err)
		}
		if _, err := facts.RequestFresh(t.Context(), request(id)); err != nil {
			t.Errorf("%s: an id that was used after all: %v", name, err)
		}
	}
	queue, err := b.JS.Stream(t.Context(), streams.Queue)
	if err != nil || queue.CachedInfo().State.Msgs != 2 {
		t.Errorf("QUEUE holds %+v, %v", queue.CachedInfo().State, err)
	}
	later := request("later")
	at := time.Now().Add(time.Hour)
	later.NotBefore = &at
	if got, err := execution.NewFacts(b.JS).RequestFresh(t.Context(), later); err != nil || got.QueueSeq != 0 {
		t.Errorf("one for later: %+v, %v", got, err)
	}
}

func TestOfManyClaimsOneWins(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	req, err := facts.Request(t.Context(), request("x1"))
	if err != nil {
		t.Fatal(err)
	}
	const claimants = 16
	outcomes := make([]error, claimants)
	var wg sync.WaitGroup
	for i := range claimants {
		wg.Go(func() {
			to := req.Fact
			to.Status, to.Runner = streams.Running, fmt.Sprint(i)
			_, outcomes[i] = facts.Append(t.Context(), req.State, to)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range outcomes {
		if err == nil {
			won++
		} else if !errors.Is(err, execution.ErrStale) {
			t.Errorf("claim: %v, want nil or ErrStale", err)
		}
	}
	if won != 1 {
		t.Errorf("%d claims won, want 1", won)
	}
}

func TestCancelEndsTheWaitingAndAsksTheRunning(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	if _, err := facts.Request(t.Context(), request("waiting")); err != nil {
		t.Fatal(err)
	}
	st, err := facts.Cancel(t.Context(), "core.echo", "waiting", "me")
	if err != nil || st.Status != streams.Canceled || st.EndedAt == nil {
		t.Fatalf("cancel of a waiting one: %+v, %v", st, err)
	}
	req, err := facts.Request(t.Context(), request("running"))
	if err != nil {
		t.Fatal(err)
	}
	to := req.Fact
	to.Status = streams.Running
	if _, err := facts.Append(t.Context(), req.State, to); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second changes nothing
		st, err = facts.Cancel(t.Context(), "core.echo", "running", "me")
		if err != nil || st.Status != streams.Canceling {
			t.Fatalf("cancel of a running one: %+v, %v", st, err)
		}
	}
	if _, err := facts.Cancel(t.Context(), "core.echo", "nobody", "me"); !errors.Is(err, execution.ErrNotFound) {
		t.Fatalf("cancel of an unknown one: %v", err)
	}
}

func TestAFactTheTableRefusesIsNotPublished(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	req, err := facts.Request(t.Context(), request("x1"))
	if err != nil {
		t.Fatal(err)
	}
	to := req.Fact
	to.Status = streams.Succeeded
	if _, err := facts.Append(t.Context(), req.State, to); !errors.Is(err, execution.ErrTransition) {
		t.Fatalf("requested to succeeded: %v", err)
	}
	st, err := facts.Find(t.Context(), "x1")
	if err != nil || st.Status != streams.Requested {
		t.Fatalf("state afterwards: %+v, %v", st, err)
	}
}

func TestTheKeyTravelsAsGiven(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	queue, err := b.JS.Stream(t.Context(), streams.Queue)
	if err != nil {
		t.Fatal(err)
	}
	facts := execution.NewFacts(b.JS)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		r := request(fmt.Sprintf("x%d", n))
		r.Key = rapid.String().Draw(rt, "key")
		done, err := facts.Request(t.Context(), r)
		if err != nil {
			rt.Fatal(err)
		}
		got := readQueued(rt, queue, done.QueueSeq)
		if got.Key != r.Key || got.KeyToken != streams.KeyToken(r.Key) || got.ID != r.ID || got.Limit != r.Limit {
			rt.Fatalf("queued as %+v, requested %+v", got, r)
		}
	})
}

func readQueued(t *rapid.T, s jetstream.Stream, seq uint64) execution.Queued {
	m, err := s.GetMsg(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	q, err := execution.ParseQueued(m.Subject, m.Header)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestTheFirstFactKeepsTheParameters(t *testing.T) {
	t.Parallel()
	facts := execution.NewFacts(natstest.New(t).JS)
	if _, err := facts.First(t.Context(), "core.echo", "x1"); !errors.Is(err, execution.ErrNotFound) {
		t.Fatalf("before the request: %v, want ErrNotFound", err)
	}
	asked, err := facts.Request(t.Context(), request("x1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := facts.Cancel(t.Context(), "core.echo", "x1", "me"); err != nil {
		t.Fatal(err)
	}
	first, err := facts.First(t.Context(), "core.echo", "x1")
	if err != nil || string(first.Parameters) != string(asked.Parameters) || first.Status != streams.Requested {
		t.Errorf("first fact: %+v, %v", first, err)
	}
}

func TestRequestingTogetherIsTheSameAsOneByOne(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	var rs []execution.Request
	for i := range 20 {
		rs = append(rs, request(fmt.Sprintf("x%02d", i)))
	}
	if err := facts.RequestNew(t.Context(), b, rs); err != nil {
		t.Fatal(err)
	}
	queue, err := b.JS.Stream(t.Context(), streams.Queue)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		m, err := queue.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if q, err := execution.ParseQueued(m.Subject, m.Header); err != nil || q.ID != r.ID {
			t.Errorf("place %d has %+v, %v; want %s", i+1, q, err, r.ID)
		}
		again, err := facts.Request(t.Context(), r)
		if err != nil || !again.Existed || again.QueueSeq != 0 {
			t.Errorf("request %s again: %+v, %v", r.ID, again, err)
		}
	}
}

func TestRequestingTogetherWithAKnownOneChangesNothing(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	if _, err := facts.Request(t.Context(), request("known")); err != nil {
		t.Fatal(err)
	}
	err := facts.RequestNew(t.Context(), b, []execution.Request{request("a"), request("known"), request("b")})
	if !errors.Is(err, execution.ErrStale) {
		t.Fatalf("request: %v, want ErrStale", err)
	}
	for _, id := range []string{"a", "b"} {
		if _, err := facts.Find(t.Context(), id); !errors.Is(err, execution.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", id, err)
		}
	}
}
