// Package event is what an event is on the bus, however it was published.
//
// A person publishes plain JSON with the nats command and nothing else; our API and CloudEvents producers add
// headers. FromMessage reads them all and is the one place that gives an event its id, so that every service
// that reads the stream, at any time, calls the same event by the same id.
package event

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

// MaxPayload is the most that an event's payload may take, in bytes.
const MaxPayload = 1 << 20

// MaxHops bounds chains of rules that lead to each other: an event that is the outcome of more rules than
// this is rejected.
const MaxHops = 16

var (
	// ErrDuplicate is returned by Publish when the stream holds the event already.
	ErrDuplicate = errors.New("event was published before")
	// ErrFull is returned by Publish when the stream takes no more events until old ones are decided.
	ErrFull = errors.New("event stream is full")
	// ErrBadSubject is returned when a subject does not name a trigger.
	ErrBadSubject = errors.New("subject names no trigger")
	// ErrBadPayload is returned when a payload is not JSON or is too large.
	ErrBadPayload = errors.New("payload is not acceptable")
)

// Event is an instance of a trigger.
type Event struct {
	ID         string          `json:"id"`
	Trigger    string          `json:"trigger"` // "pack.name"
	Time       time.Time       `json:"time"`    // when it happened, as its publisher says
	ReceivedAt time.Time       `json:"received_at"`
	Source     string          `json:"source,omitempty"`
	Payload    json.RawMessage `json:"payload"`
	Value      any             `json:"-"` // the payload as strictjson.Parse reads it
	Hops       int             `json:"hops,omitempty"`
	Sequence   uint64          `json:"sequence"`
}

// Variables is what expressions see of an event.
func (e Event) Variables() map[string]any {
	return map[string]any{"id": e.ID, "trigger": e.Trigger, "time": e.Time, "source": e.Source, "payload": e.Value}
}

// Variable is one of Variables, without the others.
func (e Event) Variable(name string) (value any, ok bool) {
	switch name {
	case "payload":
		return e.Value, true
	case "source":
		return e.Source, true
	case "id":
		return e.ID, true
	case "trigger":
		return e.Trigger, true
	case "time":
		return e.Time, true
	default:
		return nil, false
	}
}

// namespace derives ids; it is random, made once for Attune, and never changes.
var namespace = uuid.MustParse("c0a7d1de-5a50-4b0f-9a4e-3f1c8e4a7d52")

// Message is a message of EVENTS with its place in the stream.
type Message struct {
	Subject  string
	Header   nats.Header
	Data     []byte
	Sequence uint64
	Time     time.Time // when the stream stored it
}

// FromJetStream takes a message apart that a consumer delivered.
func FromJetStream(m jetstream.Msg) (Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("event on %s: %w", m.Subject(), err)
	}
	return Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp}, nil
}

// FromMessage reads an event. When its subject or payload is not acceptable the event is returned all the same,
// without a payload, together with ErrBadSubject or ErrBadPayload: it is recorded as rejected.
func FromMessage(m Message) (Event, error) {
	e := Event{
		ID: id(m), Trigger: streams.EventTail(m.Subject), Time: eventTime(m), ReceivedAt: m.Time.UTC(),
		Source: source(m.Header), Hops: hops(m.Header), Sequence: m.Sequence,
	}
	packName, trigger, err := streams.EventTokens(m.Subject)
	if err != nil || !pack.ValidName(packName) || !pack.ValidName(trigger) {
		return e, fmt.Errorf("subject %.200q does not end in PACK.TRIGGER: %w", m.Subject, ErrBadSubject)
	}
	e.Payload, e.Value, err = payload(m)
	return e, err
}

func id(m Message) string {
	if text := m.Header.Get(streams.HeaderEventID); text != "" {
		if given, err := uuid.Parse(text); err == nil {
			return given.String()
		}
	}
	if ce := m.Header.Get("ce-id"); ce != "" {
		return DeriveID("ce", m.Header.Get("ce-source"), ce)
	}
	return DeriveID(streams.Events, strconv.FormatUint(m.Sequence, 10), strconv.FormatInt(m.Time.UnixNano(), 10))
}

// DeriveID gives the id that belongs to those parts for ever. Webhooks derive it from trigger and delivery id,
// timers from trigger and tick: publishing such an event again is publishing the same event.
func DeriveID(parts ...string) string {
	name := append(make([]byte, 0, typicalName), namespace[:]...)
	for i, part := range parts {
		if i > 0 {
			name = append(name, 0)
		}
		name = append(name, part...)
	}
	return uuidFrom(sha1.Sum(name)).String()
}

// typicalName is about what DeriveID takes the digest of, in bytes; what is longer takes memory of its own.
const typicalName = 128

// uuidFrom makes a UUID of version 5 of a digest, as uuid.NewSHA1 does, which takes memory for the digesting.
func uuidFrom(sum [sha1.Size]byte) (u uuid.UUID) {
	copy(u[:], sum[:])
	u[6] = u[6]&0x0f | 5<<4
	u[8] = u[8]&0x3f | 0x80
	return u
}

// NewID gives the id of an event that nothing else names.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

func eventTime(m Message) time.Time {
	if text := m.Header.Get("ce-time"); text != "" {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil && writable(t.UTC()) {
			return t.UTC()
		}
	}
	return m.Time.UTC()
}

// writable tells whether a time can be written as it was read: that of another zone may lie in a year beyond four digits.
func writable(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

func source(h nats.Header) string {
	if s := h.Get(streams.HeaderSource); s != "" {
		return s
	}
	if s := h.Get("ce-source"); s != "" {
		return s
	}
	return "nats"
}

func hops(h nats.Header) int {
	text := h.Get(streams.HeaderHops)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func payload(m Message) (json.RawMessage, any, error) {
	data := m.Data
	switch {
	case len(data) > MaxPayload:
		return nil, nil, fmt.Errorf("%d bytes, at most %d: %w", len(data), MaxPayload, ErrBadPayload)
	case len(data) == 0:
		data = []byte("{}")
	}
	v, err := strictjson.Parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrBadPayload, err)
	}
	return data, v, nil
}

// New describes an event to be published. Trigger and Payload are required.
type New struct {
	ID       string // "" gives a fresh one
	Sameness string // events published within the stream's window under the same one are one event; "": the id
	Trigger  string
	Payload  json.RawMessage
	Source   string
	Time     time.Time // when it happened; zero: now
	Hops     int
}

// Publish stores an event and returns its id. It returns ErrDuplicate, with the id of the first, when an event of
// that id or sameness was published within the stream's window, and ErrFull when the stream takes no more.
func Publish(ctx context.Context, js jetstream.JetStream, n New) (string, error) {
	msg, err := n.message()
	if err != nil {
		return "", err
	}
	eventID := msg.Header.Get(streams.HeaderEventID)
	ack, err := js.PublishMsg(ctx, msg, jetstream.WithExpectStream(streams.Events))
	switch {
	case streams.IsFull(err):
		return "", fmt.Errorf("event of %s: %w", n.Trigger, ErrFull)
	case err != nil:
		return "", fmt.Errorf("event of %s: publish: %w", n.Trigger, err)
	case ack.Duplicate:
		return duplicate(ctx, js, ack.Sequence, n.Trigger)
	}
	return eventID, nil
}

// Pending is an event that was sent and not yet confirmed.
type Pending struct {
	trigger string
	ack     jetstream.PubAckFuture
}

// Begin sends an event without waiting for the stream. Events that are begun one after the other are stored in that
// order unless one of them fails.
func Begin(js jetstream.JetStream, n New) (Pending, error) {
	msg, err := n.message()
	if err != nil {
		return Pending{}, err
	}
	ack, err := js.PublishMsgAsync(msg, jetstream.WithExpectStream(streams.Events))
	if err != nil {
		return Pending{}, fmt.Errorf("event of %s: publish: %w", n.Trigger, err)
	}
	return Pending{trigger: n.Trigger, ack: ack}, nil
}

// Wait returns when the stream has the event. Its errors are those of Publish, and that of ctx.
func (p Pending) Wait(ctx context.Context) error {
	select {
	case ack := <-p.ack.Ok():
		if ack.Duplicate {
			return fmt.Errorf("event of %s: %w", p.trigger, ErrDuplicate)
		}
		return nil
	case err := <-p.ack.Err():
		if streams.IsFull(err) {
			return fmt.Errorf("event of %s: %w", p.trigger, ErrFull)
		}
		return fmt.Errorf("event of %s: publish: %w", p.trigger, err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// duplicate gives the id of the event that was there first, with ErrDuplicate.
func duplicate(ctx context.Context, js jetstream.JetStream, sequence uint64, trigger string) (string, error) {
	stream, err := js.Stream(ctx, streams.Events)
	if err != nil {
		return "", fmt.Errorf("event of %s: published before: open stream %s: %w", trigger, streams.Events, err)
	}
	msg, err := stream.GetMsg(ctx, sequence)
	if err != nil {
		return "", fmt.Errorf("event of %s: published before at sequence %d: %w", trigger, sequence, err)
	}
	first := id(Message{Subject: msg.Subject, Header: msg.Header, Sequence: msg.Sequence, Time: msg.Time})
	return first, fmt.Errorf("event %s: %w", first, ErrDuplicate)
}

func (n New) message() (*nats.Msg, error) {
	ref, err := pack.ParseRef(n.Trigger)
	if err != nil {
		return nil, err
	}
	subject, err := streams.EventSubject(ref.Pack, ref.Name)
	if err != nil {
		return nil, err
	}
	if n.ID == "" {
		n.ID = NewID()
	}
	m := nats.NewMsg(subject)
	m.Data = n.Payload
	m.Header.Set(streams.HeaderEventID, n.ID)
	m.Header.Set(nats.MsgIdHdr, cmp.Or(n.Sameness, n.ID))
	m.Header.Set(streams.HeaderSource, n.Source)
	if n.Hops > 0 {
		m.Header.Set(streams.HeaderHops, strconv.Itoa(n.Hops))
	}
	if !n.Time.IsZero() {
		m.Header.Set("ce-time", n.Time.UTC().Format(time.RFC3339Nano))
	}
	return m, nil
}
