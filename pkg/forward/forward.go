package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

const (
	// firstPause and longestPause bound the wait between attempts while the sink or the bus is away.
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
	// maxRetryAfter bounds how long a receiver may ask to be left alone.
	maxRetryAfter = 10 * time.Minute
)

// Sink takes records.
type Sink interface {
	// Send hands on the first of the records and tells how many are done with, also when it fails.
	Send(ctx context.Context, records []Record) (Outcome, error)
	io.Closer
}

// Outcome is what became of records.
type Outcome struct {
	Taken   int // the sink has them, or will never take them
	Refused int // of these, those that it will never take
}

// Config says what is handed on, and where to.
type Config struct {
	Destination
	Bus        *bus.Bus
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil leaves the metrics unregistered
}

// Forwarder hands on what LOGS carries.
type Forwarder struct {
	Config
	target  target
	sink    Sink
	metrics *metrics
	told    []failure // those in a row that have been said; of Run's goroutine
}

// New makes a forwarder.
func New(c Config) (*Forwarder, error) {
	t, err := parse(c.Target)
	if err != nil {
		return nil, err
	}
	sink, err := c.sink(t)
	if err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	return &Forwarder{Config: c, target: t, sink: sink, metrics: m}, nil
}

// Remove forgets how far output was handed on, for when nobody hands it on any more.
func Remove(ctx context.Context, js jetstream.JetStream) error {
	err := js.DeleteConsumer(ctx, streams.Logs, streams.ConsumerForward)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

// Run hands on until ctx ends, from session to session. One at a time is enough: two do no harm, but repeat lines.
func (f *Forwarder) Run(ctx context.Context) error {
	defer func() {
		if err := f.sink.Close(); err != nil {
			f.Logger.WarnContext(ctx, "sink of logs was not closed", slog.Any(logging.Error, err))
		}
	}()
	f.Logger.InfoContext(ctx, "output is forwarded", slog.String("to", f.target.shown))
	pause := lifecycle.Pauses(firstPause, longestPause)
	for ctx.Err() == nil {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > longestPause {
			pause.Reset()
		}
		if errors.Is(err, errReconnected) {
			continue
		}
		if errors.Is(err, errSkipped) { // nothing is away, so nobody need be told
			f.metrics.errors.Inc()
			lifecycle.Pause(ctx, firstPause)
			continue
		}
		f.fail(ctx, err)
		lifecycle.Pause(ctx, pause.NextBackOff())
	}
	f.told = nil
	return context.Cause(ctx)
}

func (f *Forwarder) follow(ctx context.Context) error {
	s, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer s.messages.Stop()
	f.recover(ctx)
	for {
		batch, err := s.collect(ctx)
		if err != nil {
			return err
		}
		if s.replaced() {
			return errReconnected
		}
		records, err := f.read(ctx, s, batch)
		if err != nil {
			return err
		}
		if err := f.deliver(ctx, s, records); err != nil {
			return err
		}
		s.acknowledge(f)
	}
}

// read gives the lines that are complete with a batch, or were held for long enough.
func (f *Forwarder) read(ctx context.Context, s *session, batch []jetstream.Msg) (out []Record, err error) {
	now := time.Now()
	for _, m := range batch {
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Stream <= s.seen {
			continue // it comes again because its acknowledgement is awaited, and is in hand
		}
		if err := f.missing(ctx, s, meta.Sequence.Stream); err != nil {
			return nil, err
		}
		s.seen, s.pending = meta.Sequence.Stream, meta.NumPending
		s.unacked = append(s.unacked, ack{seq: s.seen, subject: m.Reply()})
		c, err := parseChunk(m, meta)
		if err != nil {
			f.metrics.refused.Inc()
			f.Logger.DebugContext(ctx, "message is no output", slog.Any(logging.Error, err))
			continue
		}
		out = append(out, s.lines.add(c, now)...)
	}
	return append(out, s.lines.due(now)...), nil
}

// deliver insists until the sink is done with all records, or ctx ends.
func (f *Forwarder) deliver(ctx context.Context, s *session, records []Record) error {
	pause := lifecycle.Pauses(firstPause, longestPause)
	for len(records) > 0 {
		o, err := f.sink.Send(ctx, records)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		records = records[o.Taken:]
		f.metrics.records.Add(float64(o.Taken - o.Refused))
		if o.Refused > 0 {
			f.metrics.refused.Add(float64(o.Refused))
			f.Logger.WarnContext(ctx, "output was refused by the receiver, and is not sent again", slog.Int("lines", o.Refused))
		}
		if o.Taken > 0 {
			pause.Reset()
		}
		if err != nil {
			f.fail(ctx, err)
			f.lag(ctx, s)
			lifecycle.Pause(ctx, max(pause.NextBackOff(), asked(err)))
			continue
		}
		f.recover(ctx)
	}
	return nil
}

// recover says that a failure is over, if there was one.
func (f *Forwarder) recover(ctx context.Context) {
	if len(f.told) > 0 {
		f.told = nil
		f.Logger.InfoContext(ctx, "output is forwarded again", slog.String("to", f.target.shown))
	}
}

// asked is how long the receiver wants to be left alone.
func asked(err error) time.Duration {
	if busy, ok := errors.AsType[busyError](err); ok {
		return busy.after
	}
	return 0
}

// failure is a kind of failure that a user does something else about.
type failure string

const (
	failureAway   failure = "away"
	failureDenied failure = "denied" // for the credentials
	failureUnread failure = "unread" // the file with them
)

func kindOf(err error) failure {
	switch {
	case errors.Is(err, errDenied):
		return failureDenied
	case errors.Is(err, errUnread):
		return failureUnread
	}
	return failureAway
}

// fail counts a failure, and says so if it is the first of its kind in a row.
func (f *Forwarder) fail(ctx context.Context, err error) {
	f.metrics.errors.Inc()
	kind := kindOf(err)
	if slices.Contains(f.told, kind) {
		return
	}
	f.told = append(f.told, kind)
	f.Logger.WarnContext(ctx, "output is not forwarded for now", slog.String("to", f.target.shown), slog.Any(logging.Error, err))
}

// lag looks how much waits while the sink is away.
func (f *Forwarder) lag(ctx context.Context, s *session) {
	if info, err := s.consumer.Info(ctx); err == nil {
		f.metrics.lag.Set(float64(info.NumPending) + float64(info.NumAckPending))
	}
}

// errReconnected ends a session when the connection was lost: what comes behind that may be another stream, or the same
// without its last messages, whose numbers are given again.
var errReconnected = fmt.Errorf("the connection to %s was lost for a moment", streams.Logs)
