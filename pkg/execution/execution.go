// Package execution is the state of executions: the table of statuses and the facts on the bus.
//
// Every change of state is a fact on the execution's own subject in EXECUTIONS, published by compare-and-set
// against the sequence of the fact it was based on. It guarantees that of two writers one wins and the other
// gets ErrStale, that no fact is written which the table refuses, and that Request may be repeated for ever
// without a second execution.
package execution

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/plainjson"
	"github.com/attune/attune/streams"
)

var (
	// ErrStale is returned when another writer changed the execution first.
	ErrStale = errors.New("execution was changed by somebody else")
	// ErrNotFound is returned when no fact of the execution is on the bus.
	ErrNotFound = errors.New("execution not found")
	// ErrTransition is returned when the table refuses the change of status.
	ErrTransition = errors.New("change of status is not allowed")
	// ErrConflict is returned when an execution of that id exists with another action or other parameters.
	ErrConflict = errors.New("another execution has this id")
)

// Fact is one change of an execution's state.
type Fact = streams.Fact

// State is the last fact of an execution and its sequence, which the next change is based on.
type State struct {
	Fact
	Sequence uint64
}

// Facts reads and appends facts.
type Facts struct {
	js     jetstream.JetStream
	facts  publisher                        // to EXECUTIONS
	queue  publisher                        // to QUEUE
	handle atomic.Pointer[jetstream.Stream] // EXECUTIONS, looked up at the first read
}

// publisher stores messages of one stream in order and gives the sequence of the last one.
type publisher interface {
	Publish(ctx context.Context, msgs ...*nats.Msg) (uint64, error)
}

// NewFacts gives the facts on a server. Each is published on its own.
func NewFacts(js jetstream.JetStream) *Facts {
	return &Facts{js: js, facts: singly{js}, queue: singly{js}}
}

// NewGroupedFacts gives the facts on a server to a process that appends many at once: they share syncs to disk.
func NewGroupedFacts(b *bus.Bus) *Facts {
	return &Facts{js: b.JS, facts: b.NewGroup(), queue: b.NewGroup()}
}

// singly publishes each message on its own.
type singly struct{ js jetstream.JetStream }

// Publish stores messages one after the other.
func (s singly) Publish(ctx context.Context, msgs ...*nats.Msg) (seq uint64, err error) {
	for _, m := range msgs {
		ack, err := s.js.PublishMsg(ctx, m)
		if err != nil {
			return 0, err
		}
		seq = ack.Sequence
	}
	return seq, nil
}

func (f *Facts) stream(ctx context.Context) (jetstream.Stream, error) {
	if s := f.handle.Load(); s != nil {
		return *s, nil
	}
	s, err := f.js.Stream(ctx, streams.Executions)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", streams.Executions, err)
	}
	f.handle.Store(&s)
	return s, nil
}

// Append publishes a change of a state, and returns the sequence of the new fact. It returns ErrTransition
// when the table refuses it and ErrStale when the state is no longer the last.
func (f *Facts) Append(ctx context.Context, from State, to Fact) (uint64, error) {
	if !MayFollow(from.Status, to.Status) {
		return 0, fmt.Errorf("execution %s from %s to %s: %w", from.ID, from.Status, to.Status, ErrTransition)
	}
	return f.publish(ctx, to, from.Sequence)
}

func (f *Facts) publish(ctx context.Context, fact Fact, after uint64) (uint64, error) {
	msg, err := NewMessage(fact)
	if err != nil {
		return 0, err
	}
	seq, err := f.compareAndSet(ctx, msg, after)
	if streams.IsStale(err) {
		return 0, fmt.Errorf("execution %s to %s after %d: %w", fact.ID, fact.Status, after, ErrStale)
	}
	if err != nil {
		return 0, fmt.Errorf("execution %s to %s: publish: %w", fact.ID, fact.Status, err)
	}
	return seq, nil
}

const (
	// undecidedPause is how long the server is given to get a message of the subject to its replicas.
	undecidedPause = 5 * time.Millisecond
	// undecidedTries bounds how often it is asked again.
	undecidedTries = 200
)

// compareAndSet publishes until the server has compared.
func (f *Facts) compareAndSet(ctx context.Context, msg *nats.Msg, after uint64) (seq uint64, err error) {
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(after, 10))
	msg.Header.Set(jetstream.ExpectedStreamHeader, streams.Executions)
	for range undecidedTries {
		seq, err = f.facts.Publish(ctx, msg)
		if !streams.IsUndecided(err) {
			return seq, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(undecidedPause):
		}
	}
	return 0, err
}

// Last reads the state of an execution of a known action. It costs one direct get.
func (f *Facts) Last(ctx context.Context, action, id string) (State, error) {
	subject, err := subjectOf(action, id)
	if err != nil {
		return State{}, err
	}
	return f.last(ctx, id, subject)
}

// Find reads the state of an execution by its id alone, which costs the server a scan of its subjects.
func (f *Facts) Find(ctx context.Context, id string) (State, error) {
	subject, err := streams.AnyExecutionSubject(id)
	if err != nil {
		return State{}, fmt.Errorf("execution %q: %w", id, err)
	}
	return f.last(ctx, id, subject)
}

func (f *Facts) last(ctx context.Context, id, subject string) (State, error) {
	stream, err := f.stream(ctx)
	if err != nil {
		return State{}, err
	}
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	return state(id, msg, err)
}

// First reads the first fact of an execution, which alone holds the parameters.
func (f *Facts) First(ctx context.Context, action, id string) (State, error) {
	subject, err := subjectOf(action, id)
	if err != nil {
		return State{}, err
	}
	stream, err := f.stream(ctx)
	if err != nil {
		return State{}, err
	}
	msg, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
	return state(id, msg, err)
}

// state reads the answer to a direct get.
func state(id string, msg *jetstream.RawStreamMsg, err error) (State, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return State{}, fmt.Errorf("execution %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return State{}, fmt.Errorf("execution %s: read fact: %w", id, err)
	}
	fact, err := ParseFact(msg.Data)
	if err != nil {
		return State{}, fmt.Errorf("execution %s at sequence %d: %w", id, msg.Sequence, err)
	}
	return State{Fact: fact, Sequence: msg.Sequence}, nil
}

func subjectOf(action, id string) (string, error) {
	ref, err := pack.ParseRef(action)
	if err != nil {
		return "", fmt.Errorf("execution %s: %w", id, err)
	}
	return streams.ExecutionSubject(ref.Pack, ref.Name, id)
}

// ParseFact reads a message of EXECUTIONS.
func ParseFact(data []byte) (Fact, error) {
	f, err := plainjson.Unmarshal(data, readFact)
	return f, streams.CheckParsed("fact", f.Version, err)
}

// namespace derives ids; it is random, made once for Attune, and never changes.
var namespace = uuid.MustParse("5f3c0c3e-8d0a-4a55-9d1c-6a0b7f2b9a11")

// DeriveID gives the id of the execution that a rule requests for an event: the same for ever.
func DeriveID(eventID, rule string) string {
	return uuid.NewSHA1(namespace, []byte("rule\x00"+eventID+"\x00"+rule)).String()
}

// DeriveKeyID gives the id of the execution that a client requests with an idempotency key. Who distinguishes
// clients that may choose the same key.
func DeriveKeyID(who, key string) string {
	return uuid.NewSHA1(namespace, []byte("key\x00"+who+"\x00"+key)).String()
}

// NewID gives the id of an execution that nothing else names.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// now is the time of a fact: UTC, and without the part that JSON would drop.
func now() time.Time { return time.Now().UTC().Round(time.Microsecond) }
