package natstest_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryTestHasStreamsOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for range 3 {
		b := natstest.New(t)
		if err := streams.Check(ctx, b.JS); err != nil {
			t.Fatal(err)
		}
		ack, err := b.JS.Publish(ctx, "attune.event.core.test", []byte(`{}`))
		if err != nil || ack.Sequence != 1 {
			t.Fatalf("first event of a fresh server: %+v, %v", ack, err)
		}
	}
}
