package bus

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAGapIsAnInterruption(t *testing.T) {
	t.Parallel()
	delivered := func(sequence int) *nats.Msg {
		return &nats.Msg{Sub: &nats.Subscription{}, Reply: fmt.Sprintf("$JS.ACK.EVENTS.c.1.%d.%d.1.0", sequence+10, sequence)}
	}
	handled := 0
	f := following{handle: func(jetstream.Msg) { handled++ }}
	if err := errors.Join(f.receive(delivered(1)), f.receive(delivered(2))); err != nil {
		t.Fatal(err)
	}
	if err := f.receive(delivered(4)); !errors.Is(err, ErrInterrupted) || handled != 2 {
		t.Errorf("%d handled, %v", handled, err)
	}
}
