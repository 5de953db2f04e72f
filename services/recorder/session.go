package recorder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	// once. Such a batch waits busyLinger longer: each one is a transaction that the disk, and so everybody else,
	// waits for.
	busyFrom   = 5
	busyLinger = 50 * time.Millisecond
)

// session is one connection to a durable consumer. Sequences of a stream mean nothing in another that took its
// place, so a session belongs to one stream by the time of its creation, and ends when that changes.
type session struct {
	stream     jetstream.Stream
	epoch      int64
	consumer   jetstream.Consumer
	messages   jetstream.MessagesContext
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
	s.messages, err = s.consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(maxBatch, maxBatchBytes),
		jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.stream, err)
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

// collect waits for messages and takes what comes within the linger. At the end of ctx it gives what has
// arrived already, together with the error.
func (s *session) collect(ctx context.Context) ([]jetstream.Msg, error) {
	first, err := s.messages.Next(jetstream.NextContext(ctx))
	if ctx.Err() != nil {
		return s.rest(first), context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("next message: %w", err)
	}
	batch, size, until := []jetstream.Msg{first}, len(first.Data()), time.Now().Add(linger)
	for len(batch) < maxBatch && size < maxBatchBytes {
		left := time.Until(until)
		if left <= 0 {
			break
		}
		m, err := s.messages.Next(jetstream.NextMaxWait(left))
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		if err != nil {
			return batch, fmt.Errorf("next message: %w", err)
		}
		batch, size = append(batch, m), size+len(m.Data())
		if len(batch) == busyFrom {
			until = until.Add(busyLinger)
		}
	}
	return batch, nil
}

// rest stops asking for messages and gives those that have arrived: they would be away for as long as the
// consumer waits for an acknowledgement.
func (s *session) rest(first jetstream.Msg) (batch []jetstream.Msg) {
	if first != nil {
		batch = append(batch, first)
	}
	s.messages.Drain()
	for {
		m, err := s.messages.Next()
		if err != nil {
			return batch // it is closed, as asked
		}
		batch = append(batch, m)
	}
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
	again, err := s.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: info.AckFloor.Stream + 1,
	})
	if err != nil {
		return fmt.Errorf("read %s again: %w", l.stream, err)
	}
	for {
		batch, last, err := fetch(again)
		if err != nil || len(batch) == 0 {
			return err
		}
		if _, err := l.project(ctx, s.epoch, batch); err != nil || last >= info.Delivered.Stream {
			return err
		}
	}
}

// fetch takes what is there and gives the sequence of its last message.
func fetch(c jetstream.Consumer) (batch []jetstream.Msg, last uint64, err error) {
	found, err := c.FetchNoWait(maxBatch)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch: %w", err)
	}
	for m := range found.Messages() {
		batch = append(batch, m)
		if meta, err := m.Metadata(); err == nil {
			last = meta.Sequence.Stream
		}
	}
	return batch, last, found.Error()
}
