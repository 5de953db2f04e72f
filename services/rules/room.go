package rules

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// roomInterval is how often the size of EVENTS is looked at.
const roomInterval = 10 * time.Second

// makeRoom drops events that are decided and recorded when EVENTS runs out of space. The stream refuses new
// events when it is full; it never drops old ones by itself, because they might be undecided.
func (s *Service) makeRoom(ctx context.Context) error {
	ticker := time.NewTicker(roomInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if err := s.dropDecided(ctx); err != nil && ctx.Err() == nil {
			s.Logger.WarnContext(ctx, "space for events was not looked after", slog.Any(logging.Error, err))
		}
	}
}

// dropDecided removes the older half of what is decided and recorded, when three quarters of the space is used.
func (s *Service) dropDecided(ctx context.Context) error {
	stream, err := s.Bus.JS.Stream(ctx, streams.Events)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", streams.Events, err)
	}
	info := stream.CachedInfo()
	if info.Config.MaxBytes <= 0 || info.State.Bytes < uint64(info.Config.MaxBytes)/4*3 {
		return nil
	}
	done, err := s.doneUpTo(ctx, stream)
	if err != nil || done <= info.State.FirstSeq {
		return err
	}
	before := info.State.FirstSeq + (done-info.State.FirstSeq)/2 + 1
	s.Logger.InfoContext(ctx, "dropping decided events for space", slog.Uint64("before", before), slog.Uint64("bytes", info.State.Bytes))
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(before)); err != nil {
		return fmt.Errorf("drop events before %d: %w", before, err)
	}
	return nil
}

// doneUpTo is the sequence up to which every event is decided and in the recorder's hands.
func (s *Service) doneUpTo(ctx context.Context, events jetstream.Stream) (uint64, error) {
	next, err := s.checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	recorder, err := events.Consumer(ctx, streams.ConsumerRecorder)
	if err != nil {
		return 0, fmt.Errorf("consumer %s of %s: %w", streams.ConsumerRecorder, streams.Events, err)
	}
	return min(next-1, recorder.CachedInfo().AckFloor.Stream), nil
}
