package rules_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

const (
	fired = "attune.event.alerts.fired"
	page  = "alerts.page"
)

// alerts gives a pack with one rule of that once_per.
func alerts(o *pack.OncePer) pack.Pack {
	return pack.Pack{
		Name: "alerts", Version: "1.0.0",
		Actions:  []pack.Action{{Name: "notify", Runtime: "shell", EntryPoint: "notify.sh"}},
		Triggers: []pack.Trigger{{Name: "fired"}},
		Rules:    []pack.Rule{{Name: "page", Trigger: "fired", Action: "notify", When: "event.payload.n >= 0", Priority: "high", OncePer: o}},
	}
}

func oncePer(key string, window time.Duration) *pack.OncePer {
	return &pack.OncePer{Key: key, Window: pack.Duration(window)}
}

func newAlerts(t *testing.T, o *pack.OncePer) *fixture {
	t.Helper()
	f := newFixture(t)
	f.install(t, alerts(o))
	return f
}

func (f *fixture) install(t *testing.T, p pack.Pack) {
	t.Helper()
	if _, err := definitions.New(f.db).Install(t.Context(), definitions.Installed{Pack: p, Digest: digest, Source: "test", By: "test"}); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) fire(t *testing.T, host string, n int) {
	t.Helper()
	f.publish(t, fired, fmt.Sprintf(`{"host":%q,"n":%d}`, host, n))
}

// happened is the events of EVENTS, oldest first.
func (f *fixture) happened(t *testing.T) []event.Event {
	t.Helper()
	s, err := f.JS.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	var all []event.Event
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := event.FromMessage(event.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: m.Sequence, Time: m.Time})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ev)
	}
	return all
}

func hostOf(ev event.Event) string {
	host, _ := ev.Value.(map[string]any)["host"].(string)
	return host
}

// letThrough says in the plainest way which events go through when there is one per window and host: for each
// event, the event that stands for it.
func letThrough(all []event.Event, window time.Duration) map[string]event.Event {
	open, stands := map[string]event.Event{}, map[string]event.Event{}
	for _, ev := range all {
		first, ok := open[hostOf(ev)]
		if !ok || ev.ReceivedAt.Sub(first.ReceivedAt) >= window {
			first = ev
			open[hostOf(ev)] = ev
		}
		stands[ev.ID] = first
	}
	return stands
}

func countThrough(stands map[string]event.Event) (n int) {
	for id, first := range stands {
		if id == first.ID {
			n++
		}
	}
	return n
}

// check compares a decision with the event that stands for its own.
func check(t *testing.T, d streams.Decision, first event.Event) {
	t.Helper()
	r := outcome(t, d, page)
	id := execution.DeriveID(first.ID, page)
	switch {
	case d.EventID == first.ID:
		if r.Outcome != streams.Matched || r.Execution != id || r.Action != "alerts.notify" {
			t.Errorf("event %d is the first of its window: %+v", d.EventSeq, r)
		}
	case r.Outcome != streams.Suppressed || r.Execution != "" || !strings.HasPrefix(r.Reason, "once per "):
		t.Errorf("event %d is in the window of %d: %+v", d.EventSeq, first.Sequence, r)
	}
}

func TestABurstOfOneKeyIsOneExecution(t *testing.T) {
	t.Parallel()
	f := newAlerts(t, oncePer("event.payload.host", 10*time.Minute))
	for i := range 100 {
		f.fire(t, "web1", i)
	}
	f.start(t, "a")
	first := f.happened(t)[0]
	want := fmt.Sprintf(`once per 10m for "web1": execution %s of event %s at %s`,
		execution.DeriveID(first.ID, page), first.ID, first.ReceivedAt.Format("2006-01-02T15:04:05.000Z07:00"))
	for i := range 100 {
		d := f.next(t)
		check(t, d, first)
		if r := outcome(t, d, page); i > 0 && r.Reason != want {
			t.Errorf("suppressed because %q, want %q", r.Reason, want)
		}
	}
	if n := queueLength(t, f); n != 1 {
		t.Errorf("%d in the queue, want 1", n)
	}
	st, err := execution.NewFacts(f.JS).Last(t.Context(), "alerts.notify", execution.DeriveID(first.ID, page))
	if err != nil || st.Priority != streams.PriorityHigh {
		t.Errorf("requested with priority %q, %v", st.Priority, err)
	}
}

func TestEachKeyHasWindowsOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newAlerts(t, oncePer("event.payload.host", time.Hour))
	f.start(t, "a")
	hosts := []string{"web1", "web2", "a.b.*.>", strings.Repeat("0123456789", 1000), "", "zwei Wörter"}
	for _, wanted := range []streams.Outcome{streams.Matched, streams.Suppressed} {
		for _, host := range hosts {
			f.fire(t, host, 1)
			if r := outcome(t, f.next(t), page); r.Outcome != wanted || len(r.Reason) > 410 {
				t.Errorf("%.40q: %+v, want %s", host, r, wanted)
			}
		}
	}
	f.fire(t, "new", -1) // does not match: it opens no window
	if r := outcome(t, f.next(t), page); r.Outcome != streams.NotMatched {
		t.Errorf("an event that does not match: %+v", r)
	}
	f.fire(t, "new", 1)
	if r := outcome(t, f.next(t), page); r.Outcome != streams.Matched {
		t.Errorf("the first that matches: %+v", r)
	}
	if n := queueLength(t, f); n != uint64(len(hosts)+1) {
		t.Errorf("%d in the queue, want %d", n, len(hosts)+1)
	}
}

func TestWithoutAKeyAllEventsOfARuleShareAWindow(t *testing.T) {
	t.Parallel()
	f := newAlerts(t, oncePer("", 90*time.Second))
	f.start(t, "a")
	f.fire(t, "web1", 1)
	f.fire(t, "web2", 1)
	if r := outcome(t, f.next(t), page); r.Outcome != streams.Matched {
		t.Errorf("the first: %+v", r)
	}
	if r := outcome(t, f.next(t), page); r.Outcome != streams.Suppressed || !strings.HasPrefix(r.Reason, "once per 1m30s: execution ") {
		t.Errorf("the second: %+v", r)
	}
}

func TestAKeyThatCannotBeComputedIsAnErrorOfTheDecision(t *testing.T) {
	t.Parallel()
	f := newAlerts(t, oncePer("event.payload.host", time.Hour))
	f.start(t, "a")
	for _, payload := range []string{`{"n":1}`, `{"n":1,"host":["web1"]}`} {
		f.publish(t, fired, payload)
		r := outcome(t, f.next(t), page)
		if r.Outcome != streams.Errored || !strings.Contains(r.Reason, "once_per: event.payload.host") || r.Execution != "" {
			t.Errorf("%s: %+v", payload, r)
		}
	}
	if n := queueLength(t, f); n != 0 {
		t.Errorf("%d in the queue, want none", n)
	}
}

// A backlog is decided, by copies that come and go, as it would have been at once; and when all decisions are
// lost it is decided the same again, to the same executions.
func TestABacklogAndLostDecisionsAreDecidedAsTheyWouldHaveBeen(t *testing.T) {
	t.Parallel()
	const events, copies = 600, 8
	f := newFixture(t)
	for i := range events {
		f.fire(t, []string{"web1", "web1", "web2"}[i%3], i)
	}
	all := f.happened(t)
	window := all[events-1].ReceivedAt.Sub(all[0].ReceivedAt) / 30
	f.install(t, alerts(oncePer("event.payload.host", window)))
	stands := letThrough(all, window)
	through := countThrough(stands)
	t.Logf("%d of %d events go through, one per %s", through, events, window)
	f.decideWithCopies(t, stands, copies)
	if n := queueLength(t, f); n != uint64(through) {
		t.Errorf("%d in the queue, want %d", n, through)
	}
	forget(t, f, streams.Decisions)
	f.decideWithCopies(t, stands, copies)
	if n := queueLength(t, f); n != uint64(through) {
		t.Errorf("%d in the queue after deciding again, want %d", n, through)
	}
}

// decideWithCopies runs one copy after the other until every event is decided, and checks every decision.
func (f *fixture) decideWithCopies(t *testing.T, stands map[string]event.Event, copies int) {
	t.Helper()
	seen := map[string]bool{}
	stop := f.start(t, "copy0")
	for n := 1; len(seen) < len(stands); {
		d := f.next(t)
		check(t, d, stands[d.EventID])
		seen[d.EventID] = true
		if n < copies && len(seen) >= n*len(stands)/copies {
			stop()
			stop = f.start(t, fmt.Sprintf("copy%d", n))
			n++
		}
	}
	stop()
	for len(f.decisions) > 0 {
		d := <-f.decisions
		check(t, d, stands[d.EventID])
	}
}

func forget(t *testing.T, f *fixture, stream string) {
	t.Helper()
	s, err := f.JS.Stream(t.Context(), stream)
	if err == nil {
		err = s.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// entry is what ONCE holds of a host.
func (f *fixture) entry(t *testing.T, host string) *jetstream.RawStreamMsg {
	t.Helper()
	s, err := f.JS.Stream(t.Context(), "KV_"+streams.BucketOnce)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := streams.EntrySubject(streams.BucketOnce, streams.OnceKey(page, host))
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// put writes what ONCE holds of a host.
func (f *fixture) put(t *testing.T, host string, data []byte) {
	t.Helper()
	kv, err := f.JS.KeyValue(t.Context(), streams.BucketOnce)
	if err == nil {
		_, err = kv.Put(t.Context(), streams.OnceKey(page, host), data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A copy wrote down which event goes through, and died before it requested the execution.
func TestAnEventThatWasLetThroughBeforeACrashIsRequested(t *testing.T) {
	t.Parallel()
	f := newAlerts(t, oncePer("event.payload.host", time.Hour))
	f.fire(t, "web1", 1)
	f.fire(t, "web1", 2)
	first := f.happened(t)[0]
	id := execution.DeriveID(first.ID, page)
	data, err := json.Marshal(streams.Once{Version: streams.Version, Event: first.ID, Execution: id, At: first.ReceivedAt})
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, "web1", data)
	stop := f.start(t, "a")
	check(t, f.next(t), first)
	check(t, f.next(t), first)
	stop()
	forget(t, f, streams.Decisions)
	f.start(t, "b")
	check(t, f.next(t), first)
	check(t, f.next(t), first)
	if n := queueLength(t, f); n != 1 {
		t.Errorf("%d in the queue, want 1", n)
	}
	if st, err := execution.NewFacts(f.JS).Last(t.Context(), "alerts.notify", id); err != nil || st.Event != first.ID {
		t.Errorf("requested %+v, %v", st.Fact, err)
	}
}

// Entries go by themselves, first and later ones: a day after their window, for those who are behind.
func TestEntriesExpireSomeTimeAfterTheirWindow(t *testing.T) {
	t.Parallel()
	f := newAlerts(t, oncePer("event.payload.host", time.Millisecond))
	f.start(t, "a")
	f.fire(t, "web1", 1)
	first := f.next(t)
	if got := f.entry(t, "web1").Header.Get("Nats-TTL"); got != "24h0m0s" {
		t.Errorf("the first entry lives for %q", got)
	}
	for { // each event is a chance to be beyond the window
		f.fire(t, "web1", 2)
		if d := f.next(t); outcome(t, d, page).Outcome == streams.Matched {
			break
		}
	}
	m := f.entry(t, "web1")
	if got := m.Header.Get("Nats-TTL"); got != "24h0m0s" || strings.Contains(string(m.Data), first.EventID) {
		t.Errorf("the entry that replaced it lives for %q: %s", got, m.Data)
	}
}

// Whoever deletes an entry opens the window.
func TestAnEntryThatIsGoneLetsTheNextEventThrough(t *testing.T) {
	t.Parallel()
	f := newAlerts(t, oncePer("event.payload.host", time.Hour))
	f.start(t, "a")
	for i, want := range []streams.Outcome{streams.Matched, streams.Suppressed, streams.Matched, streams.Suppressed} {
		if i == 2 {
			kv, err := f.JS.KeyValue(t.Context(), streams.BucketOnce)
			if err == nil {
				err = kv.Delete(t.Context(), streams.OnceKey(page, "web1"))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		f.fire(t, "web1", i)
		if r := outcome(t, f.next(t), page); r.Outcome != want {
			t.Errorf("event %d: %+v, want %s", i, r, want)
		}
	}
}

func TestAnEntryThatCannotBeReadIsAnErrorOfTheDecision(t *testing.T) {
	t.Parallel()
	f := newAlerts(t, oncePer("event.payload.host", time.Hour))
	f.start(t, "a")
	for host, data := range map[string]string{"web1": `not json`, "web2": `{"v":99}`} {
		f.put(t, host, []byte(data))
		f.fire(t, host, 1)
		if r := outcome(t, f.next(t), page); r.Outcome != streams.Errored || !strings.Contains(r.Reason, streams.OnceKey(page, host)) {
			t.Errorf("%s: %+v", host, r)
		}
	}
	f.fire(t, "web3", 1)
	if r := outcome(t, f.next(t), page); r.Outcome != streams.Matched {
		t.Errorf("another key: %+v", r)
	}
}
