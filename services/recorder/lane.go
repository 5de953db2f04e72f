package recorder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
)

const (
	// attemptTimeout bounds one attempt to write a batch, also while the service stops.
	attemptTimeout = 10 * time.Second
	// firstPause and longestPause bound the wait between attempts while the database or the bus is away.
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// lane projects one stream. Its batches are written one after the other.
type lane[T any] struct {
	*Recorder
	stream string
	parse  func(jetstream.Msg) (T, error)
	apply  func(ctx context.Context, epoch int64, items []T) error
}

// entries are messages with what they say, each at the same place.
type entries[T any] struct {
	msgs  []jetstream.Msg
	items []T
}

func (e entries[T]) part(from, to int) entries[T] {
	return entries[T]{e.msgs[from:to], e.items[from:to]}
}

// refusal is a message that cannot become history, and why.
type refusal struct {
	msg jetstream.Msg
	why error
}

// run follows the stream until ctx ends, from session to session.
func (l *lane[T]) run(ctx context.Context) error {
	pause := lifecycle.Pauses(firstPause, longestPause)
	for ctx.Err() == nil {
		began := time.Now()
		err := l.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > longestPause {
			pause.Reset()
		}
		next := pause.NextBackOff()
		l.Logger.WarnContext(ctx, "stream was interrupted, trying again", slog.String("stream", l.stream), slog.Any(logging.Error, err), slog.Duration("in", next))
		lifecycle.Pause(ctx, next)
	}
	return context.Cause(ctx)
}

// follow projects what the stream holds and what comes, until the session ends.
func (l *lane[T]) follow(ctx context.Context) error {
	s, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer s.pull.Close()
	if err := l.catchUp(ctx, s); err != nil {
		return err
	}
	for {
		batch, err := s.collect(ctx)
		if settled := l.settle(ctx, s, batch); settled != nil {
			return settled
		}
		if err != nil {
			return err
		}
	}
}

// settle writes a batch, then acknowledges it. Nothing of it is acknowledged when an error is returned.
func (l *lane[T]) settle(ctx context.Context, s *session, batch []jetstream.Msg) error {
	if len(batch) == 0 {
		return nil
	}
	if err := s.verify(ctx); err != nil {
		return err
	}
	refused, err := l.project(ctx, s.epoch, batch)
	if err != nil {
		return err
	}
	rejected := make(map[jetstream.Msg]string, len(refused))
	for _, r := range refused {
		rejected[r.msg] = r.why.Error()
	}
	for _, m := range batch {
		if err := conclude(m, rejected[m]); err != nil {
			l.Logger.DebugContext(ctx, "message was not acknowledged and will come again", slog.String("stream", l.stream), slog.Any(logging.Error, err))
		}
	}
	l.metrics.projected(l.stream, len(batch), len(refused))
	return nil
}

// conclude acknowledges a message, or ends it when it was rejected.
func conclude(m jetstream.Msg, rejected string) error {
	if rejected != "" {
		return m.TermWithReason(rejected)
	}
	return m.Ack()
}

// project writes a batch and notes what cannot be written.
func (l *lane[T]) project(ctx context.Context, epoch int64, batch []jetstream.Msg) ([]refusal, error) {
	read, refused := l.read(batch)
	more, err := l.write(ctx, epoch, read)
	if err != nil {
		return nil, err
	}
	refused = append(refused, more...)
	return refused, l.reject(ctx, refused)
}

func (l *lane[T]) read(batch []jetstream.Msg) (read entries[T], refused []refusal) {
	read = entries[T]{make([]jetstream.Msg, 0, len(batch)), make([]T, 0, len(batch))} // they are large
	for _, m := range batch {
		item, err := l.parse(m)
		if err != nil {
			refused = append(refused, refusal{msg: m, why: err})
			continue
		}
		read.msgs, read.items = append(read.msgs, m), append(read.items, item)
	}
	return read, refused
}

// write writes all entries, and finds those that are refused by halving.
func (l *lane[T]) write(ctx context.Context, epoch int64, e entries[T]) ([]refusal, error) {
	n := len(e.items)
	if n == 0 {
		return nil, nil
	}
	err := l.insist(ctx, func(ctx context.Context) error { return l.apply(ctx, epoch, e.items) })
	switch {
	case err == nil:
		return nil, nil
	case !history.IsRefusal(err):
		return nil, err
	case n == 1:
		return []refusal{{msg: e.msgs[0], why: err}}, nil
	}
	first, err := l.write(ctx, epoch, e.part(0, n/2))
	if err != nil {
		return nil, err
	}
	second, err := l.write(ctx, epoch, e.part(n/2, n))
	return append(first, second...), err
}

func (l *lane[T]) reject(ctx context.Context, refused []refusal) error {
	if len(refused) == 0 {
		return nil
	}
	notes := make([]history.Rejected, 0, len(refused))
	for _, r := range refused {
		n := history.Rejected{Stream: l.stream, Subject: r.msg.Subject(), Reason: r.why.Error(), Data: r.msg.Data()}
		if meta, err := r.msg.Metadata(); err == nil {
			n.Seq, n.ReceivedAt = meta.Sequence.Stream, meta.Timestamp
		}
		l.Logger.ErrorContext(ctx, "message cannot become history", slog.String("stream", l.stream), slog.Uint64("sequence", n.Seq),
			slog.String("subject", n.Subject), slog.Any(logging.Error, r.why))
		notes = append(notes, n)
	}
	return l.insist(ctx, func(ctx context.Context) error { return l.history.Reject(ctx, notes) })
}

// insist repeats an operation on the database until it is done, is refused, or ctx ends. An attempt is not cut
// short by the end of ctx, so that a clean stop finishes what it is at.
func (l *lane[T]) insist(ctx context.Context, do func(context.Context) error) error {
	began, failed := time.Now(), false
	notify := func(err error, _ time.Duration) {
		if !failed {
			l.Logger.WarnContext(ctx, "history is held up until the database takes it", slog.String("stream", l.stream), slog.Any(logging.Error, err))
		}
		failed = true
	}
	err := lifecycle.Insist(context.WithoutCancel(ctx), lifecycle.Pauses(firstPause, longestPause), notify, func() error {
		err := attempt(ctx, do)
		if err != nil && (history.IsRefusal(err) || ctx.Err() != nil) {
			err = backoff.Permanent(err)
		}
		return err
	})
	if failed && err == nil {
		l.Logger.InfoContext(ctx, "history goes on", slog.String("stream", l.stream), slog.Duration("held_up", time.Since(began)))
	}
	if err != nil {
		return fmt.Errorf("project %s: %w", l.stream, err)
	}
	return nil
}

func attempt(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	return do(ctx)
}

// errReplaced ends a session whose stream is no longer the one that it was opened on.
var errReplaced = errors.New("stream was replaced by another of the same name")
