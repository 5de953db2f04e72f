package recorder_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/ruleset"
	"github.com/attune/attune/services/recorder"
	"github.com/attune/attune/streams"
)

func TestStreamsBecomeHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, err := event.Publish(t.Context(), f.JS, event.New{Trigger: "core.webhook", Payload: json.RawMessage(`{"a":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	x := f.request(t, streams.Running, streams.Succeeded)
	f.decide(t, streams.Decision{EventID: id, EventSeq: 1, Trigger: "core.webhook", Status: streams.EventDecided, Rules: []streams.RuleDecision{
		{Rule: "core.r", Outcome: streams.Matched, Execution: x, Action: "core.echo"}, {Rule: "core.q", Outcome: streams.NotMatched, Reason: "false"},
	}})
	asked := f.asked(t, streams.AskedRule{Rule: "core.r", When: "event.payload.a == 1"}, streams.AskedRule{Rule: "core.p"})
	compact, err := event.Publish(t.Context(), f.JS, event.New{Trigger: "core.webhook"})
	if err != nil {
		t.Fatal(err)
	}
	f.decide(t, streams.Decision{EventID: compact, EventSeq: 2, Trigger: "core.webhook", Status: streams.EventDecided, RuleSet: asked.ID})
	f.start(t)
	eventually(t, "execution succeeded", func() bool { return f.status(t, x) == streams.Succeeded })
	eventually(t, "event decided by the rules that were asked", func() bool {
		e, err := f.history.Event(t.Context(), compact)
		return err == nil && e.Status == streams.EventDecided && len(e.Decisions) == 0 && e.Asked != nil && slices.Equal(e.Asked.Rules, asked.Rules)
	})
	eventually(t, "event decided", func() bool {
		e, err := f.history.Event(t.Context(), id)
		return err == nil && e.Status == streams.EventDecided && string(e.Payload) == `{"a":1}` && len(e.Decisions) == 2 && e.Decisions[1].Execution == x
	})
	for _, s := range []string{streams.Events, streams.Decisions, streams.Executions} {
		eventually(t, "settled "+s, func() bool { return f.settled(t, s) })
	}
}

// asked records a set of rules.
func (f *fixture) asked(t *testing.T, rules ...streams.AskedRule) streams.RuleSet {
	t.Helper()
	set, err := ruleset.New("core.webhook", rules)
	if err != nil {
		t.Fatal(err)
	}
	set.At = time.Now().UTC()
	data, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	f.publish(t, "attune.ruleset.core.webhook."+set.ID, string(data))
	return set
}

func (f *fixture) decide(t *testing.T, d streams.Decision) {
	t.Helper()
	d.Version, d.At = streams.Version, time.Now().UTC()
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	f.publish(t, "attune.decision.core.webhook."+d.EventID, string(data))
}

// Events that nobody can use are seen, with the reason.
func TestUnacceptableEventsAreRecordedAsRejected(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	f.publish(t, "attune.event.core.webhook", `{"a":`)
	f.publish(t, "attune.event.oops", `{}`)
	f.publish(t, "attune.event.core.webhook", "\xff\x00")
	f.publish(t, "attune.event.core.webhook", `{}`)
	eventually(t, "4 events", func() bool { return f.count(t, "events") == 4 })
	if n := f.count(t, "events WHERE status = 'rejected' AND reason <> '' AND payload_raw IS NOT NULL"); n != 3 {
		t.Errorf("%d are rejected, want 3", n)
	}
	if n := f.count(t, "rejected_messages"); n != 0 {
		t.Errorf("%d messages are rejected, want none", n)
	}
}

// Poison is noted once and is in nobody's way.
func TestMessagesThatCannotBecomeHistoryAreNotedAndEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.request(t, streams.Running, streams.Succeeded)
	good := execution.NewID()
	for _, poison := range []struct{ id, data string }{
		{"x", `not json`},
		{"x", `{"v":99}`},
		{"not-a-uuid", `{"v":1,"id":"not-a-uuid","action":"core.echo","status":"requested","attempt":1}`},
		{good, `{"v":1,"id":"` + first + `","action":"core.echo","status":"failed","attempt":1}`},
		{good, `{"v":1,"id":"` + good + `","action":"core.echo","status":"dancing","attempt":1}`},
		{good, `{"v":1,"id":"` + good + `","action":"core.echo","status":"requested","attempt":99999999999}`},
		{first, `{"v":1,"id":"` + first + `","action":"core.echo","status":"requested","attempt":2}`}, // after succeeded
	} {
		f.publish(t, "attune.execution.core.echo."+poison.id, poison.data)
	}
	for _, body := range []string{`{"v":1`, `{"v":1,"id":"` + good + `","action":"core.echo","status":"running","attempt":1}`} { // what its headers say is good
		m := nats.NewMsg("attune.execution.core.echo." + good)
		m.Data = []byte(body)
		m.Header.Set(streams.HeaderStatus, string(streams.Failed))
		m.Header.Set(streams.HeaderAttempt, "1")
		if _, err := f.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	f.publish(t, "attune.decision.core.webhook.x", `{"v":1,"event_id":"x"}`)
	for _, set := range []string{`{`, `{"v":99}`, `{"v":1,"id":"no-uuid","trigger":"core.webhook"}`} {
		f.publish(t, "attune.ruleset.core.webhook.x", set)
	}
	last := f.request(t, streams.Canceled)
	f.start(t)
	eventually(t, "the last one is recorded", func() bool { return f.status(t, last) == streams.Canceled })
	eventually(t, "all settled", func() bool { return f.settled(t, streams.Executions) && f.settled(t, streams.Decisions) })
	if n := f.count(t, "rejected_messages"); n != 13 {
		t.Errorf("%d rejected messages, want 13", n)
	}
	if s := f.status(t, first); s != streams.Succeeded {
		t.Errorf("the first is %s, want succeeded", s)
	}
}

func TestNothingIsLostWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	before := f.request(t, streams.Running)
	eventually(t, "before is running", func() bool { return f.status(t, before) == streams.Running })
	f.link.Cut()
	var ids []string
	for range 50 {
		ids = append(ids, f.request(t, streams.Running, streams.Succeeded))
	}
	if f.settled(t, streams.Executions) {
		t.Error("facts were acknowledged that no database holds")
	}
	f.link.Restore()
	for _, id := range ids {
		eventually(t, "recorded after the outage", func() bool { return f.status(t, id) == streams.Succeeded })
	}
}

// What a recorder had taken when it was killed is in history as soon as another starts, not only when the
// consumer delivers it again a minute later.
func TestWhatADeadRecorderHadTakenIsRecordedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.request(t, streams.Running, streams.Succeeded)
	c, err := f.JS.Consumer(t.Context(), streams.Executions, streams.ConsumerRecorder)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := c.Fetch(3, jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	for range taken.Messages() { // and never acknowledged
	}
	later := f.request(t, streams.Running)
	f.start(t)
	eventually(t, "taken ones are recorded", func() bool { return f.status(t, id) == streams.Succeeded })
	eventually(t, "later ones are recorded", func() bool { return f.status(t, later) == streams.Running })
}

func TestACleanStopLeavesNothingUnacknowledged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stop := f.start(t)
	for range 200 {
		f.publish(t, "attune.event.core.webhook", `{}`)
	}
	stop()
	c, err := f.JS.Consumer(t.Context(), streams.Events, streams.ConsumerRecorder)
	if err != nil {
		t.Fatal(err)
	}
	recorded := f.count(t, "events")
	eventually(t, "everything recorded is acknowledged", func() bool { // the server takes acknowledgements in its own time
		info, err := c.Info(t.Context())
		return err == nil && int(info.AckFloor.Stream) == recorded && info.NumAckPending == 0
	})
}

// Facts leave the bus a grace after the end, and only then.
func TestFactsOfEndedExecutionsLeaveTheBus(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stop := f.start(t)
	ended, running := f.request(t, streams.Running, streams.Failed), f.request(t, streams.Running)
	eventually(t, "both are recorded", func() bool {
		return f.status(t, ended) == streams.Failed && f.status(t, running) == streams.Running
	})
	if n := f.messages(t, streams.Executions); n != 5 {
		t.Errorf("%d facts within the grace, want 5", n)
	}
	stop()
	f.grace = time.Millisecond
	f.start(t)
	eventually(t, "facts are gone", func() bool { return f.messages(t, streams.Executions) == 2 })
	if _, err := execution.NewFacts(f.JS).Last(t.Context(), "core.echo", running); err != nil {
		t.Errorf("the running one: %v", err)
	}
	eventually(t, "nothing is left to sweep", func() bool { return f.count(t, "executions WHERE ended_at IS NOT NULL AND fact_seqs <> '{}'") == 0 })
}

// Sequences of a lost stream mean other facts in the one that took its place.
func TestAStreamThatWasReplacedIsNotSweptByOldSequences(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	old := f.request(t, streams.Running, streams.Succeeded)
	eventually(t, "recorded", func() bool { return f.status(t, old) == streams.Succeeded })
	if err := f.JS.DeleteStream(t.Context(), streams.Executions); err != nil {
		t.Fatal(err)
	}
	if err := streams.Ensure(t.Context(), f.JS, streams.Options{}); err != nil {
		t.Fatal(err)
	}
	young := f.request(t, streams.Running) // has the sequences of the old one
	eventually(t, "recorded from the new stream", func() bool { return f.status(t, young) == streams.Running })
	f.grace = time.Millisecond
	f.start(t)
	eventually(t, "old sequences are forgotten", func() bool { return f.count(t, "executions WHERE ended_at IS NOT NULL AND fact_seqs <> '{}'") == 0 })
	if n := f.messages(t, streams.Executions); n != 2 {
		t.Errorf("%d facts are left, want 2", n)
	}
}

// A replay of everything changes nothing.
func TestAReplayChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stop := f.start(t)
	id := f.request(t, streams.Running, streams.Canceling, streams.Canceled)
	f.publish(t, "attune.event.core.webhook", `{}`)
	eventually(t, "recorded", func() bool { return f.status(t, id) == streams.Canceled && f.count(t, "events") == 1 })
	was, err := f.history.Execution(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	for _, s := range []string{streams.Executions, streams.Events} {
		if err := f.JS.DeleteConsumer(t.Context(), s, streams.ConsumerRecorder); err != nil {
			t.Fatal(err)
		}
	}
	f.start(t)
	eventually(t, "replayed", func() bool { return f.settled(t, streams.Executions) && f.settled(t, streams.Events) })
	now, err := f.history.Execution(t.Context(), id)
	if err != nil || now.ChangedAt != was.ChangedAt || now.Status != was.Status || string(now.Parameters) != string(was.Parameters) {
		t.Errorf("%+v became %+v (%v)", was, now, err)
	}
	if n := f.count(t, "events"); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestEndsBecomeEventsWhileARuleWaitsForThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.install(t, "1.0.0", false)
	stop := f.start(t)
	quiet := f.request(t, streams.Running, streams.Failed)
	eventually(t, "recorded", func() bool { return f.status(t, quiet) == streams.Failed })
	stop()
	f.install(t, "2.0.0", true)
	f.start(t)
	// The recorder learns of the rule by and by: ends before that are not announced, which is no matter.
	eventually(t, "an end is announced", func() bool {
		f.request(t, streams.Running, streams.Failed)
		return f.messages(t, streams.Events) > 0
	})
	before := f.messages(t, streams.Events)
	id := f.request(t, streams.Running, streams.Failed)
	eventually(t, "its end is announced", func() bool { return f.announced(t, id) == 1 })
	if f.announced(t, quiet) != 0 {
		t.Error("an end was announced that no rule waited for")
	}
	if f.messages(t, streams.Events) <= before {
		t.Error("no event more")
	}
}

// An attempt that the policy repeats is no end: the execution is announced once, when it is over.
func TestAnExecutionThatIsRepeatedEndsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.install(t, "1.0.0", true)
	f.start(t)
	eventually(t, "ends are announced", func() bool {
		f.request(t, streams.Running, streams.Failed)
		return f.messages(t, streams.Events) > 0
	})
	id := f.repeated(t)
	eventually(t, "its end is announced", func() bool { return len(f.ends(t, id)) > 0 })
	eventually(t, "all is recorded", func() bool { return f.settled(t, streams.Executions) })
	ends := f.ends(t, id)
	if len(ends) != 1 || ends[0].Attempt != 3 || ends[0].Status != streams.Failed {
		t.Errorf("announced: %+v", ends)
	}
	e, err := f.history.Execution(t.Context(), id)
	if err != nil || len(e.Previous) != 2 || e.Previous[1].Attempt != 2 || e.Terms.Retry == nil {
		t.Errorf("history has %+v, %v", e, err)
	}
}

// repeated takes an execution through three attempts that fail.
func (f *fixture) repeated(t *testing.T) string {
	t.Helper()
	facts, id := execution.NewFacts(f.JS), execution.NewID()
	got, err := facts.Request(t.Context(), execution.Request{
		ID: id, Action: "core.echo", PackDigest: "sha256-ab", Parameters: json.RawMessage(`{"n":1}`), Pool: "default", By: "api",
		Retry: &streams.Retry{Attempts: 3, On: []streams.Status{streams.Failed}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for st := got.State; st.Status == streams.Requested; {
		running := st.Fact
		running.Status, running.At, running.Parameters, running.Runner = streams.Running, time.Now().UTC(), nil, "r1"
		running.StartedAt = &running.At
		seq, err := facts.Append(t.Context(), st, running)
		if err != nil {
			t.Fatal(err)
		}
		end := running
		end.Status, end.At = streams.Failed, time.Now().UTC()
		end.EndedAt = &end.At
		if st, err = facts.EndAttempt(t.Context(), execution.State{Fact: running, Sequence: seq}, end); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// announced counts the events of an execution's end.
func (f *fixture) announced(t *testing.T, id string) (n int) {
	t.Helper()
	for _, p := range f.ends(t, id) {
		if p.Attempt == 1 && p.Status == streams.Failed && string(p.Parameters) == `{"n":1}` {
			n++
		}
	}
	return n
}

// ends gives the events that say that an execution has ended.
func (f *fixture) ends(t *testing.T, id string) (ends []recorder.Ended) {
	t.Helper()
	s, err := f.JS.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range s.CachedInfo().State.LastSeq {
		raw, err := s.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.FromMessage(event.Message{Subject: raw.Subject, Header: raw.Header, Data: raw.Data, Sequence: raw.Sequence, Time: raw.Time})
		if err != nil {
			t.Fatal(err)
		}
		var p recorder.Ended
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			t.Fatal(err)
		}
		if p.ID == id && e.ID == recorder.EndedID(id, p.Attempt) && e.Hops == 1 {
			ends = append(ends, p)
		}
	}
	return ends
}
