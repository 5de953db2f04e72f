package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// How long NATS may be away before a request is refused, and how long it may take to answer. A server that is
// restarted costs its clients a moment, not an error; one whose disk is full never answers.
const (
	busPatience = 2 * time.Second
	busTimeout  = 5 * time.Second
)

// errBusTimeout is returned when NATS did not answer in time.
var errBusTimeout = errors.New("NATS did not answer in time")

// onBus does something that needs NATS, and tells its silence from that of others.
func onBus[T any](ctx context.Context, s *Server, do func(context.Context) (T, error)) (T, error) {
	if err := s.awaitBus(ctx); err != nil {
		var none T
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	v, err := do(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return v, fmt.Errorf("%w: %w", errBusTimeout, err)
	}
	return v, err
}

// awaitBus gives a connection that broke the chance to be restored.
func (s *Server) awaitBus(ctx context.Context) error {
	connected := func() bool { return s.config.Bus.Conn.Status() == nats.CONNECTED }
	if connected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !connected() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for NATS: %w", nats.ErrDisconnected)
		}
	}
	return nil
}
