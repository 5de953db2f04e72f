package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/ruleset"
	"github.com/attune/attune/services/rules"
	"github.com/attune/attune/streams"
)

// digest stands for a pack's archive, which rules never open.
var digest = strings.Repeat("ab", 32)

func no() *bool { b := false; return &b }

// disks is a pack whose rules cover the ways to decide.
var disks = pack.Pack{
	Name: "disks", Version: "1.0.0",
	Actions: []pack.Action{{
		Name: "clean", Runtime: "shell", EntryPoint: "clean.sh",
		Parameters:  json.RawMessage(`{"type":"object","required":["host"],"properties":{"host":{"type":"string"},"percent":{"type":"integer"},"depth":{"type":"integer","default":3}},"additionalProperties":false}`),
		Concurrency: pack.Concurrency{Limit: 1, Key: "params.host"},
	}},
	Triggers: []pack.Trigger{
		{Name: "full", Payload: json.RawMessage(`{"type":"object","required":["host"],"properties":{"host":{"type":"string"}}}`)},
		{Name: "quiet"},
	},
	Rules: []pack.Rule{
		{
			Name: "clean-web", Trigger: "disks.full", Action: "disks.clean", When: `event.payload.host.startsWith("web") && event.payload.percent > 90`,
			Parameters: map[string]any{"host": "${{ event.payload.host }}", "percent": "${{ event.payload.percent }}"},
		},
		{Name: "off", Trigger: "disks.full", Action: "disks.clean", Enabled: no(), Parameters: map[string]any{"host": "h"}},
		{Name: "wrong-parameters", Trigger: "disks.full", Action: "disks.clean", When: `event.payload.host == "db1"`, Parameters: map[string]any{"host": 7}},
	},
}

type fixture struct {
	*bus.Bus
	db        *pgxpool.Pool
	decisions chan streams.Decision
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Bus: natstest.New(t), db: dbtest.New(t), decisions: make(chan streams.Decision, 4096)}
	_, err := definitions.New(f.db).Install(t.Context(), definitions.Installed{Pack: disks, Digest: digest, Source: "test", By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	f.watchDecisions(t)
	return f
}

func (f *fixture) watchDecisions(t *testing.T) {
	t.Helper()
	c, err := f.JS.OrderedConsumer(t.Context(), streams.Decisions, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]streams.RuleSet{}
	watching, err := c.Consume(func(m jetstream.Msg) {
		if streams.IsRuleSet(m.Subject()) {
			set := decoded[streams.RuleSet](t, m)
			sets[set.ID] = set
			return
		}
		d := decoded[streams.Decision](t, m)
		set, known := sets[d.RuleSet]
		if d.RuleSet != "" && !known {
			t.Errorf("a decision names the rules %s, which nobody knows", d.RuleSet)
		}
		d.Rules = ruleset.Complete(context.Background(), set, d.Rules, f.event(t, d.EventSeq).Variables())
		f.decisions <- d
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { watching.Stop(); <-watching.Closed() })
}

func decoded[T any](t *testing.T, m jetstream.Msg) (v T) {
	t.Helper()
	if err := json.Unmarshal(m.Data(), &v); err != nil {
		t.Error(err)
	}
	return v
}

// event reads an event from its stream.
func (f *fixture) event(t *testing.T, seq uint64) event.Event {
	t.Helper()
	s, err := f.JS.Stream(context.Background(), streams.Events)
	if err != nil {
		t.Error(err)
		return event.Event{}
	}
	m, err := s.GetMsg(context.Background(), seq)
	if err != nil {
		t.Error(err)
		return event.Event{}
	}
	e, _ := event.FromMessage(event.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: m.Sequence, Time: m.Time})
	return e // as far as it can be read
}

// start runs a copy of the service and gives what stops it and waits.
func (f *fixture) start(t *testing.T, id string) (stop func()) {
	t.Helper()
	s, err := rules.New(rules.Config{Bus: f.Bus, DB: f.db, ID: id, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("rules %s: %v", id, err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func (f *fixture) publish(t *testing.T, subject, data string) {
	t.Helper()
	if _, err := f.JS.Publish(t.Context(), subject, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) next(t *testing.T) streams.Decision {
	t.Helper()
	select {
	case d := <-f.decisions:
		return d
	case <-time.After(30 * time.Second):
		t.Fatal("no decision came")
		return streams.Decision{}
	}
}

func outcome(t *testing.T, d streams.Decision, rule string) streams.RuleDecision {
	t.Helper()
	for _, r := range d.Rules {
		if r.Rule == rule {
			return r
		}
	}
	t.Fatalf("no decision of %s in %+v", rule, d)
	return streams.RuleDecision{}
}

func TestARuleThatMatchesRequestsOneExecutionInItsQueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t, "a")
	f.publish(t, "attune.event.disks.full", `{"host":"web1","percent":9007199254740993}`)
	d := f.next(t)
	r := outcome(t, d, "disks.clean-web")
	if d.Status != streams.EventDecided || r.Outcome != streams.Matched || r.Execution == "" {
		t.Fatalf("decision is %+v", d)
	}
	st, err := execution.NewFacts(f.JS).Last(t.Context(), "disks.clean", r.Execution)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"depth":3,"host":"web1","percent":9007199254740993}`
	if string(st.Parameters) != want || st.Key != "web1" || st.Limit != 1 || st.Rule != "disks.clean-web" || st.Event != d.EventID || st.PackDigest != digest {
		t.Errorf("requested %+v with %s", st.Fact, st.Parameters)
	}
	if n := queueLength(t, f); n != 1 {
		t.Errorf("%d in the queue, want 1", n)
	}
}

func queueLength(t *testing.T, f *fixture) uint64 {
	t.Helper()
	s, err := f.JS.Stream(t.Context(), streams.Queue)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func TestEveryRuleSaysWhyItDidNotMatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t, "a")
	for _, c := range []struct {
		payload, rule string
		outcome       streams.Outcome
		reason        string
	}{
		{`{"host":"app1","percent":95}`, "disks.clean-web", streams.NotMatched, `"app1"`},
		{`{"host":"web1","percent":50}`, "disks.clean-web", streams.NotMatched, "event.payload.percent > 90"},
		{`{"host":"web1"}`, "disks.clean-web", streams.Errored, "percent"},
		{`{"host":"web1","percent":"95"}`, "disks.clean-web", streams.Errored, ""},
		{`{"host":"web1","percent":99}`, "disks.off", streams.NotMatched, "disabled"},
		{`{"host":"db1","percent":1}`, "disks.wrong-parameters", streams.Errored, "host"},
	} {
		f.publish(t, "attune.event.disks.full", c.payload)
		r := outcome(t, f.next(t), c.rule)
		if r.Outcome != c.outcome || !strings.Contains(r.Reason, c.reason) || r.Reason == "" {
			t.Errorf("%s: %s decided %s because %q; want %s because of %s", c.payload, c.rule, r.Outcome, r.Reason, c.outcome, c.reason)
		}
	}
}

func TestAnEventThatNobodyTakesIsRejectedAndTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t, "a")
	for _, c := range []struct{ subject, data, reason string }{
		{"attune.event.disks.full", `not json`, "not acceptable"},
		{"attune.event.disks.full", `{"host":7}`, "host"},
		{"attune.event.disks.full", `{}`, "host"},
		{"attune.event.disks.unknown", `{}`, "disks.unknown"},
		{"attune.event.a.b.c", `{}`, "PACK.TRIGGER"},
		{"attune.event.disks.full", `{"host":"a","host":"b"}`, "host"},
	} {
		f.publish(t, c.subject, c.data)
		if d := f.next(t); d.Status != streams.EventRejected || !strings.Contains(d.Reason, c.reason) {
			t.Errorf("%s %s: %s because %q, want rejected because of %s", c.subject, c.data, d.Status, d.Reason, c.reason)
		}
	}
	f.publish(t, "attune.event.disks.quiet", `{}`)
	if d := f.next(t); d.Status != streams.EventDecided || len(d.Rules) != 0 {
		t.Errorf("an event without rules: %+v", d)
	}
}

func TestTheNextCopyGoesOnBehindWhatIsNoDecision(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stop := f.start(t, "a")
	f.publish(t, "attune.event.disks.full", `{"host":"web1","percent":95}`)
	first := f.next(t)
	stop()
	if _, err := f.JS.Publish(t.Context(), "attune.decision.disks.full."+first.EventID, []byte(`{"event_seq":1}`)); err != nil {
		t.Fatal(err)
	}
	f.next(t) // what was published
	f.publish(t, "attune.event.disks.full", `{"host":"web2","percent":95}`)
	f.start(t, "b")
	if d := f.next(t); d.EventSeq != first.EventSeq+1 {
		t.Errorf("goes on with event %d, want %d", d.EventSeq, first.EventSeq+1)
	}
}

func TestRulesThatLeadToEachOtherAreStopped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t, "a")
	_, err := event.Publish(t.Context(), f.JS, event.New{Trigger: "disks.quiet", Payload: json.RawMessage(`{}`), Hops: event.MaxHops + 1})
	if err != nil {
		t.Fatal(err)
	}
	if d := f.next(t); d.Status != streams.EventRejected || !strings.Contains(d.Reason, "rules led to this") {
		t.Errorf("decision is %+v", d)
	}
}

// Whoever was told that a pack is installed may publish at once.
func TestATriggerIsKnownAsSoonAsItsPackIsInstalled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t, "a")
	for i := range 30 {
		name := fmt.Sprintf("fresh%d", i)
		p := pack.Pack{Name: name, Version: "1.0.0", Triggers: []pack.Trigger{{Name: "seen"}}}
		if _, err := definitions.New(f.db).Install(t.Context(), definitions.Installed{Pack: p, Digest: digest, Source: "test", By: "test"}); err != nil {
			t.Fatal(err)
		}
		f.publish(t, "attune.event."+name+".seen", `{}`)
		if d := f.next(t); d.Status != streams.EventDecided {
			t.Fatalf("event of pack %d is %s: %s", i, d.Status, d.Reason)
		}
	}
}

func TestARuleThatIsSwitchedOnIsAskedSoonAfter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t, "a")
	f.publish(t, "attune.event.disks.full", `{"host":"x","percent":1}`)
	if r := outcome(t, f.next(t), "disks.off"); r.Outcome != streams.NotMatched {
		t.Fatalf("a disabled rule: %+v", r)
	}
	if err := definitions.New(f.db).SetRuleEnabled(t.Context(), pack.Ref{Pack: "disks", Name: "off"}, true); err != nil {
		t.Fatal(err)
	}
	for range 1000 { // each event is a chance to see the change
		f.publish(t, "attune.event.disks.full", `{"host":"x","percent":1}`)
		if outcome(t, f.next(t), "disks.off").Outcome == streams.Matched {
			return
		}
	}
	t.Error("the change never came")
}

// Copies are stopped and started while events come. Every event is decided, every match is one execution, and
// the queue has them in the order of the events.
func TestChangesOfTheActiveCopyKeepOrderAndLoseNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const events, copies = 400, 6
	stops := make(chan func(), copies)
	go func() {
		defer close(stops)
		for i := range events {
			subject := "attune.event.disks.full"
			if _, err := f.JS.Publish(context.Background(), subject, fmt.Appendf(nil, `{"host":"web","percent":%d}`, 100+i)); err != nil {
				t.Error(err)
			}
		}
	}()
	seen := map[string]bool{}
	stop := f.start(t, "copy0")
	for n := 1; len(seen) < events; {
		seen[f.next(t).EventID] = true
		if n < copies && len(seen) == n*events/copies {
			next := f.start(t, fmt.Sprintf("copy%d", n))
			stop()
			stop = next
			n++
		}
	}
	checkQueueOrder(t, f, events)
}

// More events than are recorded together wait for a copy. Each gets one decision, in their order.
func TestABacklogIsRecordedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const batches = 4
	for n := range batches {
		msgs := make([]*nats.Msg, bus.MaxBatch)
		for i := range msgs {
			msgs[i] = &nats.Msg{Subject: []string{"attune.event.disks.full", "attune.event.disks.quiet", "attune.event.disks.none"}[(n+i)%3], Data: []byte(`{"host":"db2"}`)}
		}
		if _, err := f.PublishBatch(t.Context(), msgs); err != nil {
			t.Fatal(err)
		}
	}
	stop := f.start(t, "one")
	for i := range batches * bus.MaxBatch {
		if d := f.next(t); d.EventSeq != uint64(i+1) {
			t.Fatalf("after %d decisions comes that about event %d", i, d.EventSeq)
		}
	}
	stop()
	s, err := f.JS.Stream(t.Context(), streams.Decisions)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(streams.AllDecisions))
	if err != nil || len(info.State.Subjects) != batches*bus.MaxBatch {
		t.Fatalf("%d events have decisions: %v", len(info.State.Subjects), err)
	}
	for subject, n := range info.State.Subjects {
		if n != 1 {
			t.Errorf("%s has %d decisions", subject, n)
		}
	}
}

func checkQueueOrder(t *testing.T, f *fixture, want int) {
	t.Helper()
	facts := execution.NewFacts(f.JS)
	s, err := f.JS.Stream(t.Context(), streams.Queue)
	if err != nil {
		t.Fatal(err)
	}
	info := s.CachedInfo()
	if int(info.State.Msgs) != want {
		t.Fatalf("%d in the queue, want %d", info.State.Msgs, want)
	}
	for i, seq := 0, info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		q, err := execution.ParseQueued(m.Subject, m.Header)
		if err != nil {
			t.Fatal(err)
		}
		st, err := facts.Last(t.Context(), "disks.clean", q.ID)
		if err != nil {
			t.Fatal(err)
		}
		if part := fmt.Sprintf(`"percent":%d`, 100+i); !strings.Contains(string(st.Parameters), part) {
			t.Fatalf("place %d has %s, want %s", i, st.Parameters, part)
		}
		i++
	}
}

// The bus is lost but for events: decisions come anew, and what history knows is not requested again.
func TestExecutionsThatHistoryKnowsAreNotRequestedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(t, "attune.event.disks.full", `{"host":"web1","percent":99}`)
	s, err := f.JS.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := event.FromMessage(event.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: m.Sequence, Time: m.Time})
	if err != nil {
		t.Fatal(err)
	}
	remember(t, f.db, execution.DeriveID(ev.ID, "disks.clean-web"), ev.ID)
	f.start(t, "a")
	if r := outcome(t, f.next(t), "disks.clean-web"); r.Outcome != streams.Matched {
		t.Fatalf("decision is %+v", r)
	}
	if n := queueLength(t, f); n != 0 {
		t.Errorf("%d in the queue, want none", n)
	}
}

// A copy died between the fact and the queue message, and history was quicker than the next copy: the execution is put
// in line before those of later events, not when somebody misses it.
func TestAnExecutionThatHistoryKnowsAndNobodyQueuedIsPutInLine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(t, "attune.event.disks.full", `{"host":"web1","percent":99}`)
	stop := f.start(t, "a")
	d := f.next(t)
	stop()
	remember(t, f.db, outcome(t, d, "disks.clean-web").Execution, d.EventID)
	forget(t, f, streams.Decisions)
	forget(t, f, streams.Queue)
	f.start(t, "b")
	if r := outcome(t, f.next(t), "disks.clean-web"); r.Outcome != streams.Matched {
		t.Fatalf("decision is %+v", r)
	}
	if n := queueLength(t, f); n != 1 {
		t.Errorf("%d in the queue, want 1", n)
	}
}

// remember writes an execution that was requested into history.
func remember(t *testing.T, db *pgxpool.Pool, id, eventID string) {
	t.Helper()
	at := time.Now().UTC()
	fact := streams.Fact{
		Version: streams.Version, ID: id, Action: "disks.clean", PackDigest: digest, Status: streams.Requested, Attempt: 1,
		At: at, RequestedAt: at, RequestedBy: "rule", Pool: "default", Rule: "disks.clean-web", Event: eventID, Parameters: json.RawMessage(`{}`),
	}
	err := history.New(db).ApplyFacts(t.Context(), history.FactBatch{Epoch: 1}, []history.FactAt{{Fact: fact, Seq: 1}})
	if err != nil {
		t.Fatal(err)
	}
}
