package bus

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// isMessage tells messages of a consumer from word of the server: they can be acknowledged. The client library goes by a
// header Status and takes one without data for word of the server, but headers are what publishers choose.
func isMessage(m *nats.Msg) bool { return strings.HasPrefix(m.Reply, "$JS.ACK.") }

// message is a message of a consumer.
type message struct{ m *nats.Msg }

func (m message) Data() []byte         { return m.m.Data }
func (m message) Headers() nats.Header { return m.m.Header }
func (m message) Subject() string      { return m.m.Subject }
func (m message) Reply() string        { return m.m.Reply }

func (m message) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := m.m.Metadata()
	if err != nil {
		return nil, err
	}
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: meta.Sequence.Consumer, Stream: meta.Sequence.Stream},
		NumDelivered: meta.NumDelivered, NumPending: meta.NumPending, Timestamp: meta.Timestamp,
		Stream: meta.Stream, Consumer: meta.Consumer, Domain: meta.Domain,
	}, nil
}

func (m message) Ack() error                          { return m.m.Ack() }
func (m message) DoubleAck(ctx context.Context) error { return m.m.AckSync(nats.Context(ctx)) }
func (m message) Nak() error                          { return m.m.Nak() }
func (m message) NakWithDelay(d time.Duration) error  { return m.m.NakWithDelay(d) }
func (m message) InProgress() error                   { return m.m.InProgress() }
func (m message) Term() error                         { return m.m.Term() }
func (m message) TermWithReason(reason string) error  { return m.m.Respond([]byte("+TERM " + reason)) }
