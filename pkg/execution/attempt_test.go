package execution_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// running requests an execution with a policy and claims it.
func running(t *testing.T, facts *execution.Facts, id string, policy *streams.Retry) execution.State {
	t.Helper()
	r := request(id)
	r.Retry = policy
	req, err := facts.Request(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return claim(t, facts, req.State)
}

func claim(t *testing.T, facts *execution.Facts, st execution.State) execution.State {
	t.Helper()
	to, at := st.Fact, time.Now().UTC().Round(time.Microsecond)
	to.Status, to.Runner, to.StartedAt, to.At, to.Parameters, to.NotBefore = streams.Running, "r1", &at, at, nil, nil
	seq, err := facts.Append(t.Context(), st, to)
	if err != nil {
		t.Fatal(err)
	}
	return execution.State{Fact: to, Sequence: seq}
}

func endOf(f execution.Fact, s streams.Status) execution.Fact {
	at, code := time.Now().UTC().Round(time.Microsecond), 3
	f.Status, f.At, f.EndedAt, f.ExitCode = s, at, &at, &code
	f.Error = &streams.Error{Class: streams.ClassExitStatus, Message: "exit status 3"}
	f.Result = json.RawMessage(`{"half": true}`)
	return f
}

func TestAnEndThatThePolicyRepeatsIsTheRequestOfTheNextAttempt(t *testing.T) {
	t.Parallel()
	facts := execution.NewFacts(natstest.New(t).JS)
	st := running(t, facts, "x1", &streams.Retry{Attempts: 3, DelaySeconds: 2, Backoff: 3, On: []streams.Status{streams.Failed}})
	var previous []streams.Attempt
	for attempt, delay := range []time.Duration{2 * time.Second, 6 * time.Second} {
		end := endOf(st.Fact, streams.Failed)
		next, err := facts.EndAttempt(t.Context(), st, end)
		if err != nil {
			t.Fatal(err)
		}
		previous = append(previous, streams.Attempt{
			Attempt: attempt + 1, Status: streams.Failed, Runner: "r1", StartedAt: end.StartedAt, EndedAt: end.EndedAt, ExitCode: end.ExitCode, Error: end.Error,
		})
		at := end.At.Add(delay)
		want := st.Fact
		want.Status, want.Attempt, want.NotBefore, want.Previous = streams.Requested, attempt+2, &at, previous
		want.At, want.Runner, want.StartedAt, want.Parameters = end.At, "", nil, json.RawMessage(`{"message":"\u003chi\u003e"}`)
		if diff := cmp.Diff(want, next.Fact); diff != "" {
			t.Errorf("attempt %d (-want +got):\n%s", attempt+2, diff)
		}
		if last, err := facts.Last(t.Context(), "core.echo", "x1"); err != nil || !execution.IsEndOf(last.Fact, end) || last.Sequence != next.Sequence {
			t.Errorf("last fact %+v, %v", last, err)
		}
		if _, err := facts.EndAttempt(t.Context(), st, end); !errors.Is(err, execution.ErrStale) {
			t.Errorf("the same end again: %v", err)
		}
		st = claim(t, facts, next)
	}
	last, err := facts.EndAttempt(t.Context(), st, endOf(st.Fact, streams.Failed))
	if err != nil || last.Status != streams.Failed || last.Attempt != 3 {
		t.Errorf("the last attempt ended as %+v, %v", last, err)
	}
}

func TestAnEndIsFinalUnlessThePolicySaysOtherwise(t *testing.T) {
	t.Parallel()
	facts := execution.NewFacts(natstest.New(t).JS)
	onFailed := &streams.Retry{Attempts: 2, On: []streams.Status{streams.Failed}}
	for id, c := range map[string]struct {
		policy   *streams.Retry
		end      streams.Status
		canceled bool
	}{
		"without-policy": {nil, streams.Failed, false},
		"another-status": {onFailed, streams.TimedOut, false},
		"success":        {onFailed, streams.Succeeded, false},
		"being-canceled": {onFailed, streams.Failed, true},
		"one-attempt":    {&streams.Retry{Attempts: 1, On: []streams.Status{streams.Failed}}, streams.Failed, false},
	} {
		st := running(t, facts, id, c.policy)
		if c.canceled {
			var err error
			if st, err = facts.Cancel(t.Context(), "core.echo", id, "test"); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := facts.EndAttempt(t.Context(), st, endOf(st.Fact, c.end)); err != nil || got.Status != c.end {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
}

// Repeating the request of an execution between two attempts does not bring the next one on before its time.
func TestARepeatedRequestDoesNotCutADelayShort(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	st := running(t, facts, "x1", &streams.Retry{Attempts: 2, DelaySeconds: 3600, On: []streams.Status{streams.Failed}})
	if _, err := facts.EndAttempt(t.Context(), st, endOf(st.Fact, streams.Failed)); err != nil {
		t.Fatal(err)
	}
	r := request("x1")
	if again, err := facts.Request(t.Context(), r); err != nil || !again.Existed || again.QueueSeq != 0 {
		t.Errorf("repeated request: %+v, %v", again, err)
	}
	queue, err := b.JS.Stream(t.Context(), streams.Queue)
	if err != nil || queue.CachedInfo().State.Msgs != 1 {
		t.Errorf("QUEUE holds %+v, %v", queue.CachedInfo().State, err)
	}
}
