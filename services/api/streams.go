package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/account"
	wire "github.com/attune/attune/pkg/api"
)

// Bounds of streams. A client that does not read holds at most what was pulled for it and the kernel's buffer.
const (
	maxStreams  = 256
	heartbeat   = 10 * time.Second
	pulled      = 32
	pulledBytes = 5 << 20 // more than the largest message, or that would never be delivered
)

var (
	errTooManyStreams = errors.New("too many streams are open")
	errEnded          = errors.New("the service stops")
	errCut            = errors.New("the credential is no longer good")
)

// feed is a stream of the bus as server-sent events.
type feed struct {
	name    string // of each event
	stream  string
	filters []string
	render  func(jetstream.Msg) (any, bool) // false: nothing to send
}

// streaming is the answer that goes on after the handler has returned.
func (s *Server) streaming(serve func(context.Context, http.ResponseWriter, *http.Request) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humachi.Unwrap(hctx)
		if err := s.stream(w, r, serve); err != nil {
			write(w, s.explain(r.Context(), err))
		}
	}}
}

// stream runs what serves one stream, in a context that ends with the client or with the service. An error means
// that nothing was sent yet.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, serve func(context.Context, http.ResponseWriter, *http.Request) error) error {
	select {
	case s.streams <- struct{}{}:
	default:
		return errTooManyStreams
	}
	s.metrics.streams.Inc()
	defer func() {
		s.metrics.streams.Dec()
		<-s.streams
	}()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.leaving, func() { cancel(errEnded) })()
	defer cutWith(ctx, credentialOf(ctx), cancel)()
	return serve(ctx, w, r)
}

// cutWith ends a stream with the credential that it was opened by. The caller must call what it returns.
func cutWith(ctx context.Context, c *account.Caller, cancel context.CancelCauseFunc) (stop func()) {
	if c == nil || c == root {
		return func() {}
	}
	var expired <-chan time.Time
	if !c.Expires.IsZero() {
		t := time.NewTimer(time.Until(c.Expires))
		expired = t.C
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-c.Gone():
			cancel(errCut)
		case <-expired:
			cancel(errCut)
		case <-ctx.Done():
		case <-stopped:
		}
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// serveFeed sends a feed from where the client left off.
func (s *Server) serveFeed(f feed, lastID string) func(context.Context, http.ResponseWriter, *http.Request) error {
	return func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
		at, err := onBus(ctx, s, func(ctx context.Context) (start, error) { return s.startOf(ctx, f.stream, lastID) })
		if err != nil {
			return err
		}
		messages, err := s.consume(ctx, f, at.seq)
		if err != nil {
			return err
		}
		defer messages.Stop()
		defer context.AfterFunc(ctx, messages.Stop)()
		out := &sse{w: w, patience: s.config.SlowClient}
		err = out.open(at.seq-1, at.gap)
		if err == nil {
			err = out.pump(messages, f)
		}
		s.log.DebugContext(ctx, "stream ended", slog.String("stream", f.stream), slog.Any("error", err))
		return nil
	}
}

// gap says which sequences cannot be sent any more.
type gap struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// start is where a stream begins.
type start struct {
	seq uint64
	gap *gap // nil when nothing is missing before it
}

// startOf gives the sequence to begin with: behind the last one that the client saw, or behind the end.
func (s *Server) startOf(ctx context.Context, name, lastID string) (start, error) {
	stream, err := s.config.Bus.JS.Stream(ctx, name)
	if err != nil {
		return start{}, fmt.Errorf("open stream %s: %w", name, err)
	}
	state := stream.CachedInfo().State
	if lastID == "" {
		return start{seq: state.LastSeq + 1}, nil
	}
	seen, err := strconv.ParseUint(lastID, 10, 64)
	switch {
	case err != nil:
		return start{}, invalid(wire.HeaderLastEventID, "is not an id that this stream gave out")
	case seen > state.LastSeq: // the stream was made anew
		first := max(state.FirstSeq, 1)
		return start{seq: first, gap: &gap{From: 1, To: first - 1}}, nil
	case seen+1 < state.FirstSeq:
		return start{seq: state.FirstSeq, gap: &gap{From: seen + 1, To: state.FirstSeq - 1}}, nil
	}
	return start{seq: seen + 1}, nil
}

func (s *Server) consume(ctx context.Context, f feed, from uint64) (jetstream.MessagesContext, error) {
	c, err := s.config.Bus.JS.OrderedConsumer(ctx, f.stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: f.filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, fmt.Errorf("follow stream %s: %w", f.stream, err)
	}
	messages, err := c.Messages(jetstream.PullMaxMessagesWithBytesLimit(pulled, pulledBytes))
	if err != nil {
		return nil, fmt.Errorf("follow stream %s: %w", f.stream, err)
	}
	return messages, nil
}

// sse writes server-sent events. A client that does not take one in time is dropped: it may come back and
// resume without a gap.
type sse struct {
	w        http.ResponseWriter
	patience time.Duration
}

// open begins the answer. The id lets a client resume that saw no event.
func (o *sse) open(last uint64, g *gap) error {
	h := o.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies
	o.w.WriteHeader(http.StatusOK)
	if g != nil {
		if err := o.event(last, wire.StreamedGap, g); err != nil {
			return err
		}
	}
	return o.send(fmt.Appendf(nil, "id: %d\n\n", last))
}

// pump sends until the feed is stopped or the client does not take any more.
func (o *sse) pump(messages jetstream.MessagesContext, f feed) error {
	for {
		msg, err := messages.Next(jetstream.NextMaxWait(heartbeat))
		switch {
		case errors.Is(err, nats.ErrTimeout):
			err = o.send([]byte(": still here\n\n"))
		case err == nil:
			err = o.message(msg, f)
		}
		if err != nil {
			return err
		}
	}
}

func (o *sse) message(msg jetstream.Msg, f feed) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("follow stream %s: %w", f.stream, err)
	}
	v, ok := f.render(msg)
	if !ok {
		return nil
	}
	return o.event(meta.Sequence.Stream, f.name, v)
}

func (o *sse) event(id uint64, name string, v any) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: ", id, name)
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encode %s %d: %w", name, id, err)
	}
	b.WriteByte('\n')
	return o.send(b.Bytes())
}

func (o *sse) send(b []byte) error {
	deadline(o.w, o.patience)
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return http.NewResponseController(o.w).Flush()
}
