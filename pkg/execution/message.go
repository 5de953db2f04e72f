package execution

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// NewMessage makes the message of a fact.
func NewMessage(f Fact) (*nats.Msg, error) {
	f.Version = streams.Version
	subject, err := subjectOf(f.Action, f.ID)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("execution %s: encode fact: %w", f.ID, err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(streams.HeaderStatus, string(f.Status))
	m.Header.Set(streams.HeaderAttempt, strconv.Itoa(f.Attempt))
	if f.Runner != "" && f.StartedAt != nil {
		m.Header.Set(streams.HeaderRunner, f.Runner)
		m.Header.Set(streams.HeaderStartedAt, f.StartedAt.Format(time.RFC3339Nano))
	}
	return m, nil
}

// Head is what the subject and headers of a fact say: enough to follow all executions without their bodies.
type Head struct {
	ID        string
	Action    pack.Ref
	Status    Status
	Attempt   int
	Runner    string    // "" before the claim
	StartedAt time.Time // by the runner's clock
}

// ParseHead reads the subject and headers of a message of EXECUTIONS.
func ParseHead(subject string, h nats.Header) (Head, error) {
	packName, action, id, err := streams.ExecutionTokens(subject)
	if err != nil {
		return Head{}, err
	}
	head := Head{ID: id, Action: pack.Ref{Pack: packName, Name: action}, Status: Status(h.Get(streams.HeaderStatus)), Runner: h.Get(streams.HeaderRunner)}
	if _, ok := next[head.Status]; !ok {
		return Head{}, fmt.Errorf("fact of %s: header %s: status %q is not known", id, streams.HeaderStatus, head.Status)
	}
	if head.Attempt, err = strconv.Atoi(h.Get(streams.HeaderAttempt)); err != nil {
		return Head{}, fmt.Errorf("fact of %s: header %s: %w", id, streams.HeaderAttempt, err)
	}
	if head.Runner == "" {
		return head, nil
	}
	if head.StartedAt, err = time.Parse(time.RFC3339Nano, h.Get(streams.HeaderStartedAt)); err != nil {
		return Head{}, fmt.Errorf("fact of %s: header %s: %w", id, streams.HeaderStartedAt, err)
	}
	return head, nil
}

// NewQueueMessage makes the message that puts a requested execution in line. It has headers only: a leader
// reads the whole queue into memory, and parameters have no place there.
func NewQueueMessage(f Fact) (*nats.Msg, error) {
	ref, err := pack.ParseRef(f.Action)
	if err != nil {
		return nil, fmt.Errorf("execution %s: %w", f.ID, err)
	}
	subject, err := streams.QueueSubject(ref.Pack, ref.Name, f.Key, f.ID)
	if err != nil {
		return nil, fmt.Errorf("execution %s: %w", f.ID, err)
	}
	m := nats.NewMsg(subject)
	m.Header.Set(streams.HeaderLimit, strconv.Itoa(f.Limit))
	m.Header.Set(streams.HeaderPool, f.Pool)
	m.Header.Set(streams.HeaderAttempt, strconv.Itoa(f.Attempt))
	m.Header.Set(streams.HeaderRequestedAt, f.RequestedAt.Format(time.RFC3339Nano))
	if f.Key != "" {
		m.Header.Set(streams.HeaderKey, base64.RawURLEncoding.EncodeToString([]byte(f.Key)))
	}
	return m, nil
}

// Queued is what a message of QUEUE says.
type Queued struct {
	ID          string
	Action      pack.Ref
	KeyToken    string
	Key         string // as given
	Limit       int
	Pool        string
	Attempt     int
	RequestedAt time.Time
}

// ParseQueued reads the subject and headers of a message of QUEUE.
func ParseQueued(subject string, h nats.Header) (Queued, error) {
	packName, action, token, id, err := streams.QueueTokens(subject)
	if err != nil {
		return Queued{}, err
	}
	q := Queued{ID: id, Action: pack.Ref{Pack: packName, Name: action}, KeyToken: token, Pool: h.Get(streams.HeaderPool)}
	return q, q.parse(h)
}

func (q *Queued) parse(h nats.Header) (err error) {
	if q.Limit, err = strconv.Atoi(h.Get(streams.HeaderLimit)); err != nil {
		return fmt.Errorf("queued %s: header %s: %w", q.ID, streams.HeaderLimit, err)
	}
	if q.Attempt, err = strconv.Atoi(h.Get(streams.HeaderAttempt)); err != nil {
		return fmt.Errorf("queued %s: header %s: %w", q.ID, streams.HeaderAttempt, err)
	}
	if q.RequestedAt, err = time.Parse(time.RFC3339Nano, h.Get(streams.HeaderRequestedAt)); err != nil {
		return fmt.Errorf("queued %s: header %s: %w", q.ID, streams.HeaderRequestedAt, err)
	}
	key, err := base64.RawURLEncoding.DecodeString(h.Get(streams.HeaderKey))
	if err != nil {
		return fmt.Errorf("queued %s: header %s: %w", q.ID, streams.HeaderKey, err)
	}
	q.Key = string(key)
	return nil
}
