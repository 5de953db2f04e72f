package attunetest

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// AwaitFacts reads the facts of an action's executions, in the order in which they became true, until done
// says that they are enough. It gives all facts read.
func AwaitFacts(t testing.TB, b *bus.Bus, action string, done func([]streams.Fact) bool) []streams.Fact {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	c, err := b.JS.OrderedConsumer(ctx, streams.Executions, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	context.AfterFunc(ctx, m.Stop)
	var facts []streams.Fact
	for !done(facts) {
		msg, err := m.Next()
		if err != nil {
			t.Fatalf("facts of %s: %v after %d", action, err, len(facts))
		}
		var f streams.Fact
		if err := json.Unmarshal(msg.Data(), &f); err != nil {
			t.Fatal(err)
		}
		if f.Action == action {
			facts = append(facts, f)
		}
	}
	return facts
}

// Ended is for AwaitFacts: so many executions have ended.
func Ended(n int) func([]streams.Fact) bool {
	return func(facts []streams.Fact) bool { return len(Ends(facts)) >= n }
}

// Ends gives the final facts, in the order of the ends.
func Ends(facts []streams.Fact) []streams.Fact {
	return choose(facts, func(f streams.Fact) bool { return execution.Final(f.Status) })
}

// Starts gives the facts that say that a process was started, in that order.
func Starts(facts []streams.Fact) []streams.Fact {
	return choose(facts, func(f streams.Fact) bool { return f.Status == streams.Running })
}

// Requests gives the facts that say what was asked for, in that order.
func Requests(facts []streams.Fact) []streams.Fact {
	return choose(facts, func(f streams.Fact) bool { return f.Status == streams.Requested })
}

func choose(facts []streams.Fact, wanted func(streams.Fact) bool) []streams.Fact {
	var some []streams.Fact
	for _, f := range facts {
		if wanted(f) {
			some = append(some, f)
		}
	}
	return some
}
