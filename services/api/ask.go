package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/streams"
)

// How long the leading scheduler may take to answer. A position may wait until it has read the newest request.
const (
	askTimeout      = 2 * time.Second
	positionTimeout = 1500 * time.Millisecond
)

// errScheduler is returned when no scheduler answered.
var errScheduler = errors.New("no scheduler answers")

// ask asks the leading scheduler.
func ask[T any](ctx context.Context, s *Server, subject string, question any) (T, error) {
	var out T
	data, err := json.Marshal(question)
	if err != nil {
		return out, fmt.Errorf("ask %s: %w", subject, err)
	}
	if err := s.awaitBus(ctx); err != nil {
		return out, fmt.Errorf("ask %s: %w", subject, err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	msg, err := s.config.Bus.Conn.RequestWithContext(ctx, subject, data)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return out, fmt.Errorf("ask %s: %w", subject, errScheduler)
	}
	if err != nil {
		return out, fmt.Errorf("ask %s: %w", subject, err)
	}
	if err := json.Unmarshal(msg.Data, &out); err != nil {
		return out, fmt.Errorf("answer to %s: %w", subject, err)
	}
	return out, nil
}

// position asks for an execution's place in line. After is the sequence of its queue message, 0 when that is not
// known.
func (s *Server) position(ctx context.Context, id string, after uint64) (streams.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	return ask[streams.Position](ctx, s, streams.RPCQueuePosition, streams.PositionRequest{ID: id, After: after})
}

// stats asks how a queue or a scope stands.
func (s *Server) stats(ctx context.Context, scope, key string) (streams.QueueStats, error) {
	return ask[streams.QueueStats](ctx, s, streams.RPCQueueStats, streams.QueueRequest{Action: scope, Key: key})
}
