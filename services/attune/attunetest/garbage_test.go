package attunetest_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/services/attune/attunetest"
	"github.com/attune/attune/streams"
)

// payloads are what somebody may publish where something else is expected.
var payloads = []string{
	"", "{", "null", "[]", `"text"`, "-1e400", "\x00\xff\xfe", `{"v":99}`, `{"v":1}`, `{"v":-1,"id":7,"event_id":[]}`,
	`{"v":1,"v":2,"id":"a","id":"b"}`, `{"v":1,"id":"\u0000\ud800","action":"\u0000.x"}`, strings.Repeat("[", 100_000),
	`{"v":1,"at":"0000-01-01T00:00:00+23:59","started_at":"9999-12-31T23:59:59-23:59","full_at":"9999-12-31T23:59:59-23:59"}`,
	`{"v":1,"id":"` + strings.Repeat("x", 5000) + `","trigger":"` + strings.Repeat("y", 5000) + `"}`,
	`{"n": 1e400}`, `{"n": -1}`, `{"n": 99999999999999999999}`,
}

// headers are those that services read, with values that none of them writes.
var headers = []nats.Header{
	nil,
	{"Status": {"100"}},
	{"Status": {"404"}},
	{"Status": {"408"}},
	{"Status": {"503"}},
	{"Status": {"409"}, "Description": {"Consumer Deleted"}},
	{"Status": {"204"}, "Description": {"EOB"}},
	{streams.HeaderEventSeq: {"18446744073709551615"}, streams.HeaderEventID: {"no uuid"}, streams.HeaderHops: {"-7"}},
	{streams.HeaderHops: {"9223372036854775807"}, "ce-id": {"\xff\xfe"}, "ce-time": {"9999-12-31T23:59:59-23:59"}},
	{"ce-time": {"0000-01-01T00:00:00+23:59"}, streams.HeaderSource: {"\xff\x00" + strings.Repeat("s", 5000)}},
}

// subjects are those of events and of what the rules say of them, most of which name nothing.
func subjects() []string {
	long, id := strings.Repeat("t", 3000), uuid.NewString()
	return []string{
		"attune.event.probe.ping", "attune.event.core.execution_ended", "attune.event.x", "attune.event.\xff\xfe.ping", "attune.event.a.b.c.d",
		"attune.event.x." + long,
		"attune.decision.probe.ping." + id, "attune.decision.x", "attune.decision.\xff.ping." + id, "attune.decision.probe.ping." + long,
		"attune.ruleset.probe.ping." + id, "attune.ruleset.x", "attune.ruleset.a.\xff." + long,
	}
}

// litter publishes everything of the above on every subject. Some is refused by the server, which is as well.
func litter(t *testing.T, b *bus.Bus) {
	t.Helper()
	put := func(subject, payload string, h nats.Header) {
		m := &nats.Msg{Subject: subject, Data: []byte(payload), Header: maps.Clone(h)}
		if err := b.Conn.PublishMsg(m); err != nil {
			t.Fatalf("%.60q: %v", subject, err)
		}
	}
	for _, subject := range subjects() {
		for _, payload := range payloads {
			put(subject, payload, nil)
		}
		for _, h := range headers {
			put(subject, "", h)
			put(subject, `{"v":1}`, h)
		}
	}
	if err := b.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestGarbageBesideEventsStopsNobody(t *testing.T) {
	t.Parallel()
	in, _ := startProbe(t, attunetest.Options{})
	first := follow(t, in, 1)
	litter(t, in.Bus())
	follow(t, in, 2)
	answers(t, in, first)
	checkSaid(t, in)
	if code := in.Stop(); code != 0 {
		t.Fatalf("status %d", code)
	}
	in.Restart()
	follow(t, in, 3)
	answers(t, in, first)
	checkSaid(t, in)
}

// follow publishes an event and gives the execution that it leads to, when it has ended and history knows all of it.
func follow(t *testing.T, in *attunetest.Instance, n int) string {
	t.Helper()
	c := in.Client()
	accepted, err := c.Publish(t.Context(), api.EventRequest{Trigger: "probe.ping", Payload: ping(n)})
	if err != nil {
		t.Fatal(err)
	}
	x := awaitDecided(t, c, accepted.ID).Decisions[0].Execution
	if done, err := c.Wait(t.Context(), x, nil); err != nil || done.Status != streams.Succeeded {
		t.Fatalf("execution %s: %s, %v", x, done.Status, err)
	}
	return x
}

// awaitDecided returns when the event was decided.
func awaitDecided(t *testing.T, c *client.Client, id string) api.Event {
	t.Helper()
	look, late := time.NewTicker(20*time.Millisecond), time.After(30*time.Second)
	defer look.Stop()
	for {
		e, err := c.Event(t.Context(), id)
		if err == nil && len(e.Decisions) == 1 && e.Decisions[0].Outcome == streams.Matched {
			return e
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("event %+v, %v", e, err)
		}
	}
}

// answers asks everything that users look at.
func answers(t *testing.T, in *attunetest.Instance, execution string) {
	t.Helper()
	c, ctx := in.Client(), t.Context()
	_, _, events := c.Events(ctx, nil, 500)
	_, _, executions := c.Executions(ctx, nil, 500)
	_, _, queues := c.Queues(ctx, 0)
	_, _, runners := c.Runners(ctx, 0)
	_, queue := c.QueueStats(ctx, "probe.note")
	_, pack := c.PackStatus(ctx, "probe")
	for what, err := range map[string]error{"events": events, "executions": executions, "queues": queues, "runners": runners, "queue": queue, "pack": pack} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var log bytes.Buffer
	if _, err := c.Logs(ctx, client.Log{Execution: execution, Stream: "stdout"}, &log); err != nil || log.String() != "note 1\n" {
		t.Errorf("log %.200q, %v", log.String(), err)
	}
	awaitServices(t, c)
}

// awaitServices returns when all services work and nothing waits for them.
func awaitServices(t *testing.T, c *client.Client) {
	t.Helper()
	look, late := time.NewTicker(20*time.Millisecond), time.After(30*time.Second)
	defer look.Stop()
	for {
		all, err := c.Services(t.Context())
		if err == nil && !slices.ContainsFunc(all, func(s api.Service) bool {
			return s.State != api.ServiceActive || slices.ContainsFunc(s.Backlogs, func(b api.Backlog) bool { return b.Messages > 0 })
		}) {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("services %+v, %v", all, err)
		}
	}
}

// checkSaid looks for signs that a service began again.
func checkSaid(t *testing.T, in *attunetest.Instance) {
	t.Helper()
	for line := range strings.Lines(in.Said()) {
		for _, sign := range []string{"panic", "lease given up", "interrupted", "held up", "timers are late", "not followed"} {
			if strings.Contains(line, sign) {
				t.Errorf("%.400s", line)
			}
		}
	}
}
