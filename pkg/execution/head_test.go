package execution_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func TestTheHeadOfAFactTellsItsStateWithoutTheBody(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC)
	waiting := streams.Fact{ID: "x1", Action: "core.echo", Status: streams.Requested, Attempt: 2}
	running := waiting
	running.Status, running.Runner, running.StartedAt = streams.Running, "r1", &at
	ref := pack.Ref{Pack: "core", Name: "echo"}
	for fact, want := range map[*streams.Fact]execution.Head{
		&waiting: {ID: "x1", Action: ref, Status: streams.Requested, Attempt: 2},
		&running: {ID: "x1", Action: ref, Status: streams.Running, Attempt: 2, Runner: "r1", StartedAt: at},
	} {
		msg, err := execution.NewMessage(*fact)
		if err != nil {
			t.Fatal(err)
		}
		got, err := execution.ParseHead(msg.Subject, msg.Header)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("head: %v (-want +got):\n%s", err, diff)
		}
	}
}

func TestAHeadThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]nats.Header{
		"no status":      {streams.HeaderAttempt: {"1"}},
		"unknown status": {streams.HeaderStatus: {"asleep"}, streams.HeaderAttempt: {"1"}},
		"no attempt":     {streams.HeaderStatus: {"running"}},
		"no start":       {streams.HeaderStatus: {"running"}, streams.HeaderAttempt: {"1"}, streams.HeaderRunner: {"r1"}},
	} {
		if _, err := execution.ParseHead("attune.execution.core.echo.x1", h); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := execution.ParseHead("attune.execution.core.echo", nats.Header{}); err == nil {
		t.Error("a subject of three tokens was accepted")
	}
}
