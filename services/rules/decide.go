package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// maxUnrecorded is how many decisions may wait to be recorded while more events are at hand. When none are,
// decisions are recorded at once.
const maxUnrecorded = 100

// decideAll decides every event after the last recorded decision, for ever.
func (s *Service) decideAll(ctx context.Context) error {
	start, err := s.checkpoint(ctx)
	if err != nil {
		return err
	}
	stream, err := s.Bus.JS.Stream(ctx, streams.Events)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", streams.Events, err)
	}
	last := stream.CachedInfo().State.LastSeq
	if start > last+1 {
		s.Logger.WarnContext(ctx, "events stream is behind its decisions, deciding all of it", slog.Uint64("checkpoint", start), slog.Uint64("last", last))
		start = 1
	}
	feed, err := s.follow(ctx, start)
	if err != nil {
		return err
	}
	defer feed.stop()
	s.Logger.InfoContext(ctx, "deciding events", slog.Uint64("from", start), slog.Uint64("to_catch_up", last))
	return s.decideFeed(ctx, feed, last)
}

// checkpoint is the sequence of the first event without a recorded decision. Decisions are recorded in the
// order of the events, so the last one tells.
func (s *Service) checkpoint(ctx context.Context) (uint64, error) {
	stream, err := s.Bus.JS.Stream(ctx, streams.Decisions)
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", streams.Decisions, err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, streams.AllDecisions)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read last decision: %w", err)
	}
	seq, err := strconv.ParseUint(m.Header.Get(streams.HeaderEventSeq), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("decision at %d: header %s: %w", m.Sequence, streams.HeaderEventSeq, err)
	}
	return seq + 1, nil
}

// feed delivers events in order. Its channel holds what has arrived and waits to be decided.
type feed struct {
	events chan jetstream.Msg
	stop   func()
}

func (s *Service) follow(ctx context.Context, start uint64) (*feed, error) {
	consumer, err := s.Bus.JS.OrderedConsumer(ctx, streams.Events, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: start,
	})
	if err != nil {
		return nil, fmt.Errorf("follow %s from %d: %w", streams.Events, start, err)
	}
	f := &feed{events: make(chan jetstream.Msg, maxUnrecorded)} // what one batch of decisions can take
	running, err := consumer.Consume(func(m jetstream.Msg) {
		select {
		case f.events <- m:
		case <-ctx.Done():
		}
	}, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		s.Logger.DebugContext(ctx, "events consumer was interrupted", slog.Any(logging.Error, err))
	}))
	if err != nil {
		return nil, fmt.Errorf("follow %s from %d: %w", streams.Events, start, err)
	}
	f.stop = func() {
		running.Stop()
		<-running.Closed()
	}
	return f, nil
}

// decideFeed decides events one after the other. Up to catchUp they may have been decided before by a copy
// that died.
func (s *Service) decideFeed(ctx context.Context, f *feed, catchUp uint64) error {
	var unrecorded []streams.Decision
	for {
		if len(unrecorded) > 0 && (len(f.events) == 0 || len(unrecorded) >= maxUnrecorded) {
			if err := s.insist(ctx, "record decisions", func() error { return s.record(ctx, unrecorded) }); err != nil {
				return err
			}
			unrecorded = unrecorded[:0]
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-f.events:
			d, err := s.decideMessage(ctx, m, catchUp)
			if err != nil {
				return err
			}
			unrecorded = append(unrecorded, d)
		}
	}
}

func (s *Service) decideMessage(ctx context.Context, m jetstream.Msg, catchUp uint64) (streams.Decision, error) {
	msg, err := event.FromJetStream(m)
	if err != nil {
		return streams.Decision{}, err
	}
	began := time.Now()
	ev, err := event.FromMessage(msg)
	var d streams.Decision
	if err != nil {
		d = rejected(ev, err.Error())
	} else if d, err = s.decide(ctx, ev, msg.Sequence <= catchUp); err != nil {
		return streams.Decision{}, err
	}
	s.metrics.decided(d, time.Since(began))
	return d, nil
}

// insist repeats what must be done before anything else may be, until it is done or ctx ends: the order of the
// events is worth more than speed while the bus or the database is away.
func (s *Service) insist(ctx context.Context, what string, do func() error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 20*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, do() },
		backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, wait time.Duration) {
			s.Logger.WarnContext(ctx, "decision is held up", slog.String("operation", what), slog.Any(logging.Error, err), slog.Duration("retry_in", wait))
		}))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
