package builtin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type natsConfig struct {
	URL     string `json:"url"`
	Subject string `json:"subject"`
	Queue   string `json:"queue"`
	Stream  string `json:"stream"`
	Durable string `json:"durable"`
}

// natsPending bounds what is received and not yet handed on.
const (
	natsPending      = 1024
	natsPendingBytes = 8 << 20
)

// followNATS reports the messages of a subject. With a stream and a durable consumer none is missed while the sensor
// does not run.
func followNATS(ctx context.Context, s *stage) error {
	var c natsConfig
	if err := s.config(&c); err != nil {
		return err
	}
	switch {
	case c.URL == "" || c.Subject == "":
		return wrong("url and subject are needed, such as nats://127.0.0.1:4222 and orders.>")
	case (c.Stream == "") != (c.Durable == ""):
		return wrong("stream and durable go together")
	case c.Stream != "" && c.Queue != "":
		return wrong("queue is for subjects without a stream: a durable consumer is shared as it is")
	}
	nc, err := nats.Connect(c.URL, s.natsOptions()...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	s.say("connected to %s", nc.ConnectedUrlRedacted())
	if c.Stream != "" {
		return s.consume(ctx, nc, c)
	}
	return s.subscribe(ctx, nc, c)
}

func (s *stage) natsOptions() []nats.Option {
	opts := []nats.Option{
		nats.Name("attune-sensor-nats"), nats.MaxReconnects(-1), nats.Timeout(10 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				s.say("connection lost: %v", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			s.say("connection restored; messages of subjects without a stream may have been missed")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.say("NATS: %v", err) }),
	}
	if creds := s.Secrets["NATS_SENSOR_CREDS"]; creds != "" {
		opts = append(opts, nats.UserCredentialBytes([]byte(creds)))
	}
	return opts
}

func (s *stage) subscribe(ctx context.Context, nc *nats.Conn, c natsConfig) error {
	sub, err := nc.QueueSubscribeSync(c.Subject, c.Queue)
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", c.Subject, err)
	}
	if err := sub.SetPendingLimits(natsPending, natsPendingBytes); err != nil {
		return fmt.Errorf("subscribe %s: %w", c.Subject, err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			s.say("messages came faster than they could be handed on, some were missed")
			continue
		}
		if err != nil {
			return err
		}
		if err := s.emit(found{Trigger: "message", Payload: natsPayload(m.Subject, m.Data, m.Header)}); err != nil {
			return err
		}
	}
}

// consume acknowledges a message once it was handed on: one that was not comes again, and is the same event.
func (s *stage) consume(ctx context.Context, nc *nats.Conn, c natsConfig) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, c.Stream, jetstream.ConsumerConfig{
		Durable: c.Durable, FilterSubject: c.Subject, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
	})
	if err != nil {
		return fmt.Errorf("consumer %s of stream %s: %w", c.Durable, c.Stream, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(100))
	if err != nil {
		return fmt.Errorf("consumer %s of stream %s: %w", c.Durable, c.Stream, err)
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		m, err := messages.Next()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("consumer %s of stream %s: %w", c.Durable, c.Stream, err)
		}
		if err := s.handOn(c, m); err != nil {
			return err
		}
	}
}

func (s *stage) handOn(c natsConfig, m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("message of stream %s: %w", c.Stream, err)
	}
	at := meta.Timestamp.UTC()
	payload := natsPayload(m.Subject(), m.Data(), m.Headers())
	payload["stream"], payload["sequence"] = c.Stream, meta.Sequence.Stream
	id := fmt.Sprintf("%s|%d|%d", c.Stream, meta.Sequence.Stream, at.UnixNano())
	if err := s.emit(found{Trigger: "message", ID: id, Time: &at, Payload: payload}); err != nil {
		return err
	}
	if err := m.Ack(); err != nil {
		s.say("message %d not acknowledged, it comes again: %v", meta.Sequence.Stream, err)
	}
	return nil
}

func natsPayload(subject string, data []byte, headers nats.Header) map[string]any {
	p := map[string]any{"subject": subject, "data": jsonOr(data)}
	if len(headers) > 0 {
		p["headers"] = headers
	}
	return p
}
