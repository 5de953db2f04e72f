package recorder

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/streams"
)

const (
	// maxBatch is how many messages are written at once.
	maxBatch = 500
	// maxBatchBytes bounds the same in bytes, and what the server sends ahead.
	maxBatchBytes = 16 << 20
	// linger is how long a batch waits for more after its first message.
	linger = 10 * time.Millisecond
	// busyFrom is the size from which a batch tells of load, for more than one execution makes that many facts at
	// once. Then messages are no longer waited for: they gather at the server for busyLinger and come together. Each
	// batch is a transaction that the disk, and so everybody else, waits for, and each message that comes by
	// itself wakes this process up.
	busyFrom   = 5
	busyLinger = 60 * time.Millisecond
	// standing is how long one request for a message stands.
	standing = 30 * time.Second
	// burst is how long those that are there have to come.
	burst = 2 * time.Millisecond
)

// session is one connection to a durable consumer. Sequences of a stream mean nothing in another that took its
// place, so a session belongs to one stream by the time of its creation, and ends when that changes.
type session struct {
	stream     jetstream.Stream
	epoch      int64
	consumer   jetstream.Consumer
	pull       *bus.Pull
	last       int    // messages in the batch before
	pending    uint64 // messages that waited behind its last one
	conn       *nats.Conn
	reconnects uint64 // of the connection, when the stream was last verified
}

func (l *lane[T]) open(ctx context.Context) (*session, error) {
	conn := l.Bus.Conn
	s := &session{conn: conn, reconnects: conn.Stats().Reconnects}
	var err error
	if s.stream, err = l.Bus.JS.Stream(ctx, l.stream); err != nil {
		return nil, fmt.Errorf("open stream %s: %w", l.stream, err)
	}
	s.epoch = epochOf(s.stream.CachedInfo())
	if s.consumer, err = s.stream.CreateOrUpdateConsumer(ctx, streams.RecorderConsumerConfig()); err != nil {
		return nil, fmt.Errorf("open consumer of %s: %w", l.stream, err)
	}
	if s.pull, err = l.Bus.NewPull(l.stream, streams.ConsumerRecorder, maxBatch); err != nil {
		return nil, err
	}
	return s, nil
}

// epochOf tells a stream from others of the same name.
func epochOf(info *jetstream.StreamInfo) int64 { return info.Created.UnixNano() }

// verify makes sure, after the connection was lost, that behind it is still the same stream.
func (s *session) verify(ctx context.Context) error {
	n := s.conn.Stats().Reconnects
	if n == s.reconnects {
		return nil
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at stream again: %w", err)
	}
	if epochOf(info) != s.epoch {
		return fmt.Errorf("stream %s: %w", info.Config.Name, errReplaced)
	}
	s.reconnects = n
	return nil
}

// collect waits for a message and takes what comes within the linger. While there is load it takes what has come since
// the batch before. At the end of ctx it gives what has arrived already, together with the error.
func (s *session) collect(ctx context.Context) (batch []jetstream.Msg, err error) {
	loaded, behind := s.last >= busyFrom, s.last == maxBatch || s.pending >= maxBatch
	defer func() { s.last, s.pending = len(batch), pendingBehind(batch) }()
	switch {
	case behind: // a whole batch waits already
	case loaded:
		lifecycle.Pause(ctx, busyLinger)
	default:
		batch, err = s.pull.Fetch(ctx, bus.Wanted{Messages: 1, Wait: standing})
		if len(batch) == 0 || err != nil || ctx.Err() != nil {
			break
		}
		lifecycle.Pause(ctx, linger)
	}
	if err == nil && ctx.Err() == nil && (len(batch) > 0 || loaded || behind) {
		var more []jetstream.Msg
		more, err = s.pull.Fetch(ctx, bus.Wanted{Messages: maxBatch - len(batch), Bytes: maxBatchBytes, Wait: burst})
		batch = append(batch, more...)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return batch, err
}

// pendingBehind tells how many messages waited for the consumer when the last of a batch left the server.
func pendingBehind(batch []jetstream.Msg) uint64 {
	if len(batch) == 0 {
		return 0
	}
	meta, err := batch[len(batch)-1].Metadata()
	if err != nil {
		return 0
	}
	return meta.NumPending
}

// catchUp projects what a recorder that died had taken and not acknowledged. The consumer delivers it again
// later, and only then is it acknowledged; but history need not wait for that.
func (l *lane[T]) catchUp(ctx context.Context, s *session) error {
	info, err := s.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at consumer of %s: %w", l.stream, err)
	}
	if info.NumAckPending == 0 {
		return nil
	}
	again, err := l.Bus.PullFrom(ctx, l.stream, info.AckFloor.Stream+1, maxBatch)
	if err != nil {
		return fmt.Errorf("read %s again: %w", l.stream, err)
	}
	defer again.Close()
	for {
		batch, err := again.Fetch(ctx, bus.Wanted{Messages: maxBatch})
		if err != nil || len(batch) == 0 {
			return err
		}
		last, err := batch[len(batch)-1].Metadata()
		if err != nil {
			return err
		}
		if _, err := l.project(ctx, s.epoch, batch); err != nil || last.Sequence.Stream >= info.Delivered.Stream {
			return err
		}
	}
}
