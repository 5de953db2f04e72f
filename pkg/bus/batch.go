package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Headers of atomic batches, from the server's architecture decision record ADR-50.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// MaxBatch is how many messages PublishBatch takes at once. The server allows 1,000.
const MaxBatch = 500

// ErrBatchSize is returned by PublishBatch for a batch that is empty or too large.
var ErrBatchSize = errors.New("batch size is out of range")

// PublishBatch stores the messages in order, all or none, and pays one sync to disk for all of them. The
// streams of the subjects must be one, with atomic publishing allowed. It returns the sequence of the last
// message. An error of the server is a *jetstream.APIError; after any other error it is unknown whether the
// messages were stored.
func (b *Bus) PublishBatch(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	switch n := len(msgs); {
	case n == 0 || n > MaxBatch:
		return 0, fmt.Errorf("publish %d messages at once, at most %d: %w", n, MaxBatch, ErrBatchSize)
	case n == 1:
		ack, err := b.JS.PublishMsg(ctx, msgs[0])
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	id := nuid.Next()
	for i, m := range msgs[:len(msgs)-1] {
		stamp(m, id, i+1)
		if err := b.Conn.PublishMsg(m); err != nil {
			return 0, fmt.Errorf("publish batch of %d: %w", len(msgs), err)
		}
	}
	return b.commit(ctx, msgs[len(msgs)-1], id, len(msgs))
}

func stamp(m *nats.Msg, id string, sequence int) {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header.Set(headerBatchID, id)
	m.Header.Set(headerBatchSequence, strconv.Itoa(sequence))
}

// unstamp makes a message of a batch one that goes alone.
func unstamp(m *nats.Msg) {
	for _, h := range []string{headerBatchID, headerBatchSequence, headerBatchCommit} {
		delete(m.Header, h)
	}
}

func (b *Bus) commit(ctx context.Context, last *nats.Msg, id string, n int) (uint64, error) {
	stamp(last, id, n)
	last.Header.Set(headerBatchCommit, "1")
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	reply, err := b.Conn.RequestMsgWithContext(ctx, last)
	if err != nil {
		return 0, fmt.Errorf("commit batch of %d: %w", n, err)
	}
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, fmt.Errorf("commit batch of %d: read reply: %w", n, err)
	}
	if ack.Error != nil {
		return 0, fmt.Errorf("commit batch of %d: %w", n, ack.Error)
	}
	return ack.Sequence, nil
}
