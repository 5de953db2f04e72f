package execution_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// A server with replicas may refuse to compare while a message of the subject is on its way to them, even the one that
// it acknowledged just before. It does so once in thousands of times, so its refusal is sent here in its place; what
// comes after is decided by the real server.
func TestARefusalToCompareIsNotSomebodyElsesDoing(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	facts := execution.NewFacts(b.JS)
	req, err := facts.Request(t.Context(), request("x1"))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := b.JS.Stream(t.Context(), streams.Executions)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	away := config
	away.Subjects = []string{"nowhere.>"}
	if _, err := b.JS.UpdateStream(t.Context(), away); err != nil {
		t.Fatal(err)
	}
	subject, err := streams.ExecutionSubject("core", "echo", "x1")
	if err != nil {
		t.Fatal(err)
	}
	refusals := make(chan error, 1)
	sub, err := b.Conn.Subscribe(subject, func(m *nats.Msg) {
		err := m.Respond([]byte(`{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"EXECUTIONS","seq":0}`))
		if err == nil {
			_, err = b.JS.UpdateStream(t.Context(), config)
		}
		refusals <- err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.AutoUnsubscribe(1); err != nil {
		t.Fatal(err)
	}
	to := req.Fact
	to.Status = streams.Canceled
	seq, err := facts.Append(t.Context(), req.State, to)
	if err != nil || seq <= req.Sequence {
		t.Errorf("sequence %d, %v", seq, err)
	}
	if err := <-refusals; err != nil {
		t.Fatal(err)
	}
	if _, err := facts.Append(t.Context(), req.State, to); !errors.Is(err, execution.ErrStale) {
		t.Errorf("after somebody else: %v", err)
	}
}
