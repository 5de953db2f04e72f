package forward

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

const (
	// maxBatch is how many messages are handed on at once, and maxBatchBytes how many bytes.
	maxBatch      = 500
	maxBatchBytes = 4 << 20
	// linger is how long a batch waits for more after its first message.
	linger = 50 * time.Millisecond
	// idle is how often a session looks whether it is still on its stream when nothing comes.
	idle = 10 * time.Second
)

// session reads LOGS from the first message on that was not acknowledged, whoever had it before.
type session struct {
	conn       *nats.Conn
	reconnects uint64 // of the connection, when the session was opened
	consumer   jetstream.Consumer
	messages   jetstream.MessagesContext

	lines   *lines
	seen    uint64 // the last message that was taken
	unacked []ack  // what was taken, in order
	pending uint64 // how many there were behind the last one
}

// ack is how a message is acknowledged, with all before it.
type ack struct {
	seq     uint64
	subject string
}

func (f *Forwarder) open(ctx context.Context) (*session, error) {
	s := &session{conn: f.Bus.Conn, reconnects: f.Bus.Conn.Stats().Reconnects, lines: newLines()}
	var err error
	if s.consumer, err = f.Bus.JS.CreateOrUpdateConsumer(ctx, streams.Logs, streams.ForwardConsumerConfig()); err != nil {
		return nil, fmt.Errorf("open consumer %s of %s: %w", streams.ConsumerForward, streams.Logs, err)
	}
	if err := s.rewind(ctx, f.Bus.JS); err != nil {
		return nil, fmt.Errorf("reset consumer %s of %s: %w", streams.ConsumerForward, streams.Logs, err)
	}
	f.metrics.lag.Set(float64(s.pending))
	s.messages, err = s.consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(maxBatch, 2*maxBatchBytes),
		jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", streams.Logs, err)
	}
	return s, nil
}

// rewind makes what another had taken come again at once and in its order, not after what is newer.
func (s *session) rewind(ctx context.Context, js jetstream.JetStream) error {
	info, err := js.ResetConsumer(ctx, streams.Logs, streams.ConsumerForward)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, streams.Logs)
	if err != nil {
		return err
	}
	s.pending = info.NumPending
	s.seen = s.consumer.CachedInfo().AckFloor.Stream              // before the reset, which leaves out what was dropped
	if last := stream.CachedInfo().State.LastSeq; last < s.seen { // the server died, and lost what it had not written yet
		s.seen = last
		_, err = js.ResetConsumerToSequence(ctx, streams.Logs, streams.ConsumerForward, last+1)
	}
	return err
}

// collect waits for messages, but no longer than until something that is held back is due.
func (s *session) collect(ctx context.Context) (batch []jetstream.Msg, err error) {
	patience := idle
	if s.lines.held > 0 {
		patience = holdRest / 4
	}
	until, size := time.Now().Add(patience), 0
	for len(batch) < maxBatch && size < maxBatchBytes {
		next, cancel := context.WithDeadline(ctx, until)
		m, err := s.messages.Next(jetstream.NextContext(next))
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout):
			return batch, nil
		case err != nil:
			return nil, fmt.Errorf("next message of %s: %w", streams.Logs, err)
		}
		if len(batch) == 0 {
			until = time.Now().Add(linger)
		}
		batch, size = append(batch, m), size+len(m.Data())
	}
	return batch, nil
}

// acknowledge acknowledges all before the first message of which something is held back. An acknowledgement that is
// lost is made good by the next.
func (s *session) acknowledge(f *Forwarder) {
	n, held := 0, s.lines.floor()
	for n < len(s.unacked) && (held == 0 || s.unacked[n].seq < held) {
		n++
	}
	if n > 0 {
		_ = s.conn.Publish(s.unacked[n-1].subject, []byte("+ACK")) // else it comes again
		s.unacked = append(s.unacked[:0], s.unacked[n:]...)
	}
	f.metrics.lag.Set(float64(s.pending) + float64(len(s.unacked)))
}

// replaced tells whether the stream may have been replaced by another since the session was opened.
func (s *session) replaced() bool { return s.conn.Stats().Reconnects != s.reconnects }

func parseChunk(m jetstream.Msg, meta *jetstream.MsgMetadata) (chunk, error) {
	id, stream, err := streams.LogTokens(m.Subject())
	if err == nil && !utf8.ValidString(m.Subject()) {
		err = fmt.Errorf("message %d of %s: its subject is not UTF-8, and no receiver would take it", meta.Sequence.Stream, streams.Logs)
	}
	if err != nil {
		return chunk{}, err
	}
	h := m.Headers()
	offset, err := strconv.ParseInt(h.Get(streams.HeaderOffset), 10, 64)
	if err != nil || offset < 0 {
		return chunk{}, fmt.Errorf("message %d of %s: header %s is %q", meta.Sequence.Stream, streams.Logs, streams.HeaderOffset, h.Get(streams.HeaderOffset))
	}
	at, err := time.Parse(time.RFC3339Nano, h.Get(streams.HeaderTime))
	if err != nil {
		at = meta.Timestamp
	}
	return chunk{
		log: id, stream: stream, of: sourceOf(h), seq: meta.Sequence.Stream, offset: offset, time: at, data: m.Data(), last: h.Get(streams.HeaderEnd) == "true",
	}, nil
}
