package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// errSkipped ends a session that was not given a message which LOGS has. The client drops one when its room is taken by
// notices of the server, which come besides as many messages as it has room for. Were it passed over, it would be
// acknowledged with the next; so another session begins behind what is acknowledged.
var errSkipped = fmt.Errorf("a message of %s was passed over", streams.Logs)

// missing looks what became of the messages between the last that was taken and the next that came. Those that LOGS does
// not have any more are counted.
func (f *Forwarder) missing(ctx context.Context, s *session, next uint64) error {
	if next == s.seen+1 {
		return nil
	}
	gone, err := goneBetween(ctx, f.Bus.JS, s.seen, next)
	if err != nil {
		return err
	}
	f.metrics.dropped.Add(float64(gone))
	f.Logger.WarnContext(ctx, "output was dropped before it could be forwarded", slog.Uint64("messages", gone))
	return nil
}

// goneBetween counts the messages between two that LOGS does not have; errSkipped when it has one of them.
func goneBetween(ctx context.Context, js jetstream.JetStream, seen, next uint64) (uint64, error) {
	stream, err := js.Stream(ctx, streams.Logs)
	if err != nil {
		return 0, fmt.Errorf("look for what %s does not have any more: %w", streams.Logs, err)
	}
	for seq := max(seen+1, stream.CachedInfo().State.FirstSeq); seq < next; seq++ {
		switch _, err := stream.GetMsg(ctx, seq); {
		case err == nil:
			return 0, errSkipped
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return 0, fmt.Errorf("look for message %d of %s: %w", seq, streams.Logs, err)
		}
	}
	return next - seen - 1, nil
}
