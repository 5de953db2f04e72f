package forward_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// A message that the forwarder is not given, since its client dropped it or another had it, comes again before those
// behind it are acknowledged. Another takes one here, which is the same to the forwarder.
func TestAMessageThatIsPassedOverIsNotLost(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	f.say(t, "a", 0, "one\n", true)
	f.start(t, c.target())
	eventually(t, "the first has come", func() bool { return c.has(t, "a/stdout", []byte("one")) && f.unread(t) == 0 })
	consumer, err := f.JS.Consumer(t.Context(), streams.Logs, streams.ConsumerForward)
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := consumer.Fetch(1, jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "two ask for messages", func() bool {
		info, err := consumer.Info(t.Context())
		return err == nil && info.NumWaiting >= 2
	})
	const lines = 20
	for n := range lines {
		f.say(t, "b", 2*n, "x\n", n == lines-1)
	}
	if m := <-stolen.Messages(); m == nil {
		t.Fatalf("nothing could be taken: %v", stolen.Error())
	}
	eventually(t, "all have come", func() bool {
		return c.has(t, "b/stdout", []byte(strings.Repeat("x\n", lines))) && f.unread(t) == 0
	})
	if n := f.metric(t, "dropped_total"); n != 0 {
		t.Errorf("%v messages are said to be gone", n)
	}
}
