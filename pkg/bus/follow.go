package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrInterrupted is returned by Follow when messages may be missing: the connection was lost, the server has forgotten
// the consumer, or the client has dropped messages. Whoever follows looks again where to begin.
var ErrInterrupted = errors.New("following was interrupted")

const (
	followAhead   = 500      // messages that are asked for ahead
	followBytes   = 16 << 20 // of one request for them
	followExpires = 30 * time.Second
)

// Follow gives the messages of a stream, in order and each once, from a sequence on, to handle, which may block: that
// holds the server back. Unlike the client library's ordered consumer it gets past messages with any headers. It ends with
// ctx, or else with ErrInterrupted or ErrPullEnded.
func (b *Bus) Follow(ctx context.Context, stream string, from uint64, handle func(jetstream.Msg)) error {
	p, err := b.PullFrom(ctx, stream, from, 2*followAhead)
	if err != nil {
		return err
	}
	defer p.Close()
	f := following{pull: p, handle: handle}
	silence := time.NewTimer(pullSilence)
	defer silence.Stop()
	for {
		if err := f.ask(); err != nil {
			return fmt.Errorf("follow %s: %w", stream, err)
		}
		silence.Reset(pullSilence) // not while a message is handled
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-p.back:
			err = fmt.Errorf("%w: the connection was lost", ErrInterrupted)
		case <-silence.C:
			err = fmt.Errorf("%w: the server is silent", ErrInterrupted)
		case m := <-p.in:
			err = f.receive(m)
		}
		if err != nil {
			return fmt.Errorf("follow %s: %w", stream, err)
		}
	}
}

type following struct {
	pull   *Pull
	handle func(jetstream.Msg)
	asked  int    // messages that were asked for and have not come
	last   uint64 // of the consumer's sequences
}

// ask keeps enough requests with the server that it need not wait for the next one.
func (f *following) ask() error {
	if f.asked > followAhead/2 {
		return nil
	}
	n := followAhead - f.asked
	f.asked += n
	return f.pull.request(Wanted{Messages: n, Bytes: followBytes, Wait: followExpires})
}

func (f *following) receive(m *nats.Msg) error {
	if !isMessage(m) {
		ended, err := wordOf(m)
		if ended {
			f.asked = max(0, f.asked-unserved(m))
		}
		return err
	}
	msg := message{m}
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != f.last+1 {
		return fmt.Errorf("%w: messages were dropped before that at %d", ErrInterrupted, meta.Sequence.Stream)
	}
	f.last = meta.Sequence.Consumer
	f.asked = max(0, f.asked-1)
	f.handle(msg)
	return nil
}
