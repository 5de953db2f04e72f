package scheduler

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/attune/attune/streams"
)

// queuedAs are the headers of a message that puts an execution in line, but for those that are given.
func queuedAs(header, value string) nats.Header {
	h := nats.Header{streams.HeaderLimit: {"1"}, streams.HeaderAttempt: {"1"}, streams.HeaderRequestedAt: {"2026-01-01T00:00:00Z"}}
	h.Set(header, value)
	return h
}

func TestALeaderIsNotHeldUpByWhatNobodyCanRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schedule("s1", func(s *Scheduler) { quickPace(&s.pace) }).stop()
	usual := queuedAs(streams.HeaderPool, "default")
	for _, m := range []*nats.Msg{
		{Subject: "attune.queue." + strings.Repeat("p", 200) + ".echo._." + uuid.NewString(), Header: usual},
		{Subject: "attune.queue.\xff.echo._." + uuid.NewString(), Header: usual},
		{Subject: "attune.queue.core.échø._." + uuid.NewString(), Header: usual},
		{Subject: "attune.queue.core.echo._." + uuid.NewString(), Header: queuedAs(streams.HeaderTimeout, "NaN")},
		{Subject: "attune.queue.core.echo._." + uuid.NewString(), Header: queuedAs(streams.HeaderTimeout, "1e300")},
		{Subject: "attune.queue.core.echo._." + uuid.NewString(), Header: queuedAs(streams.HeaderTimeout, "-1")},
		{Subject: "attune.queue.core.echo._." + uuid.NewString()},
		{Subject: "attune.queue.x", Header: usual},
		{Subject: "attune.execution.core.echo." + uuid.NewString(), Data: []byte(`{"v":1,"id":"x","action":"core.other","status":"running","attempt":1}`), Header: nats.Header{
			streams.HeaderStatus: {"running"}, streams.HeaderAttempt: {"1"}, streams.HeaderRunner: {"no. *such runner"}, streams.HeaderStartedAt: {"2026-01-01T00:00:00Z"},
		}},
	} {
		if _, err := w.bus.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatalf("%.60q: %v", m.Subject, err)
		}
	}
	w.awaitLeader(w.schedule("s2", func(s *Scheduler) { quickPace(&s.pace) }))
	w.run("r1", 1, func(string) {})
	id := w.request("core.echo", "", 1)
	w.awaitStatus(id, streams.Succeeded)
	eventually(t, "an empty QUEUE", func() bool { return w.queueLength() == 0 })
}

func TestAMessageIsReadWhateverItsHeadersSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leader := w.schedule("s1")
	w.awaitLeader(leader)
	subject := "attune.run.nobody." + uuid.NewString()
	if _, err := w.bus.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: nats.Header{headerStatus: {"409"}}}); err != nil {
		t.Fatal(err)
	}
	read := 0
	_, err := leader.leading.current.Load().get(t.Context(), streams.Runs, getRequest{MultiLast: []string{subject}}, func(*nats.Msg) { read++ })
	if err != nil || read != 1 {
		t.Errorf("read %d messages, %v", read, err)
	}
}
