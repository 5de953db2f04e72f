package execution

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/streams"
)

// MaxParameters is the most that the parameters of an execution may take as JSON, in bytes.
const MaxParameters = 256 << 10

// Request describes an execution to be requested. ID, Action, PackDigest and Parameters are required.
type Request struct {
	ID         string
	Action     string // "pack.name"
	PackDigest string
	Parameters json.RawMessage
	Key        string
	Limit      int
	Pool       string
	By         string
	Rule       string
	Event      string
	RetryOf    string
	Hops       int
	Retry      *streams.Retry
	NotBefore  *time.Time // it is put in line then; nil: at once
	streams.Admission
}

// Requested is the outcome of a request.
type Requested struct {
	State
	Existed  bool   // the execution had been requested before
	QueueSeq uint64 // sequence of its message in QUEUE; 0 when it was there already
}

// Request makes sure that the execution is requested and in line: the fact first, then the queue message.
// Repeating it is safe for ever; a process that dies between the two is healed by whoever repeats it.
// It returns ErrConflict when the id belongs to an execution of another action or with other parameters.
func (f *Facts) Request(ctx context.Context, r Request) (Requested, error) {
	fact, err := r.fact()
	if err != nil {
		return Requested{}, err
	}
	seq, err := f.publish(ctx, fact, 0)
	switch {
	case errors.Is(err, ErrStale):
		return f.repeat(ctx, fact)
	case err != nil:
		return Requested{}, err
	}
	failpoint.Hit(failpoint.ExecutionRequested)
	if fact.NotBefore != nil { // the scheduler puts it in line
		return Requested{State: State{Fact: fact, Sequence: seq}}, nil
	}
	queued, err := f.Enqueue(ctx, fact)
	if err != nil {
		return Requested{}, err
	}
	failpoint.Hit(failpoint.ExecutionQueued)
	return Requested{State: State{Fact: fact, Sequence: seq}, QueueSeq: queued}, nil
}

// RequestFresh is Request for an execution whose id nobody has used: the fact and the queue message are published at the
// same time, so that it takes one sync to disk and not two, one after the other. Either may be seen first. Of a process
// that dies in between only one may be there: the scheduler puts a lone fact in line, and lets a lone queue message go.
func (f *Facts) RequestFresh(ctx context.Context, r Request) (Requested, error) {
	if r.NotBefore != nil { // the scheduler puts it in line
		return f.Request(ctx, r)
	}
	fact, err := r.fact()
	if err != nil {
		return Requested{}, err
	}
	out := Requested{State: State{Fact: fact}}
	queued := make(chan error, 1)
	go func() {
		var err error
		out.QueueSeq, err = f.Enqueue(ctx, fact)
		queued <- err
	}()
	out.Sequence, err = f.publish(ctx, fact, 0)
	failpoint.Hit(failpoint.ExecutionRequested)
	errQueued := <-queued
	switch {
	case errors.Is(err, ErrStale):
		return f.repeat(ctx, fact)
	case err != nil || errQueued != nil:
		return Requested{}, errors.Join(err, errQueued)
	}
	failpoint.Hit(failpoint.ExecutionQueued)
	return out, nil
}

// Batcher stores messages of one stream in order, all or none; *bus.Bus and *bus.Group do.
type Batcher interface {
	PublishBatch(ctx context.Context, msgs []*nats.Msg) (uint64, error)
}

// RequestNew requests executions that are not known to exist, in order, at the cost of two publishes for all.
// After an error each of them has to be requested with Request: some exist, and nothing was stored (ErrStale),
// or it is unknown how far this got.
func (f *Facts) RequestNew(ctx context.Context, b Batcher, rs []Request) error {
	facts, queue := make([]*nats.Msg, len(rs)), make([]*nats.Msg, 0, len(rs))
	for i, r := range rs {
		fact, err := r.fact()
		if err != nil {
			return err
		}
		if facts[i], err = NewMessage(fact); err != nil {
			return err
		}
		facts[i].Header.Set(nats.ExpectedLastSubjSeqHdr, "0")
		if fact.NotBefore != nil { // the scheduler puts it in line
			continue
		}
		m, err := NewQueueMessage(fact)
		if err != nil {
			return err
		}
		queue = append(queue, m)
	}
	if _, err := b.PublishBatch(ctx, facts); streams.IsStale(err) {
		return fmt.Errorf("request %d executions: %w", len(rs), ErrStale)
	} else if err != nil {
		return fmt.Errorf("request %d executions: %w", len(rs), err)
	}
	failpoint.Hit(failpoint.ExecutionRequested)
	if len(queue) == 0 {
		return nil
	}
	if _, err := b.PublishBatch(ctx, queue); err != nil {
		return fmt.Errorf("queue %d executions: %w", len(rs), err)
	}
	failpoint.Hit(failpoint.ExecutionQueued)
	return nil
}

func (r Request) fact() (Fact, error) {
	at := now()
	parameters, err := json.Marshal(r.Parameters) // the form in which they will be read back, for comparison
	if err != nil {
		return Fact{}, fmt.Errorf("execution %s: parameters: %w", r.ID, err)
	}
	return Fact{
		Version: streams.Version, ID: r.ID, Action: r.Action, PackDigest: r.PackDigest, Status: streams.Requested, Attempt: 1,
		At: at, RequestedAt: at, RequestedBy: r.By, Key: r.Key, Limit: r.Limit, Pool: r.Pool,
		Rule: r.Rule, Event: r.Event, RetryOf: r.RetryOf, Hops: r.Hops, Parameters: parameters,
		Admission: r.Admission, Retry: r.Retry, NotBefore: r.NotBefore,
	}, nil
}

// Restore requests an execution again as it was, after its facts were lost with the stream. It returns ErrStale
// when the execution has facts.
func (f *Facts) Restore(ctx context.Context, fact Fact) error {
	if err := f.Recreate(ctx, fact); err != nil {
		return err
	}
	_, err := f.Enqueue(ctx, fact)
	return err
}

// Recreate gives an execution that is requested its fact again, without putting it in line. It returns ErrStale when
// the execution has facts.
func (f *Facts) Recreate(ctx context.Context, fact Fact) error {
	_, err := f.publish(ctx, fact, 0)
	return err
}

func (f *Facts) repeat(ctx context.Context, fact Fact) (Requested, error) {
	st, err := f.Last(ctx, fact.Action, fact.ID)
	if err != nil {
		return Requested{}, err
	}
	out := Requested{State: st, Existed: true}
	if st.Status != streams.Requested || st.NotBefore != nil { // the scheduler puts what has to wait for a time in line
		return out, nil
	}
	if !bytes.Equal(st.Parameters, fact.Parameters) {
		return Requested{}, fmt.Errorf("execution %s: other parameters: %w", fact.ID, ErrConflict)
	}
	out.QueueSeq, err = f.Enqueue(ctx, st.Fact)
	return out, err
}

// Enqueue puts a requested execution in line and returns its sequence in QUEUE, or 0 when it stands there
// already.
func (f *Facts) Enqueue(ctx context.Context, fact Fact) (uint64, error) {
	msg, err := NewQueueMessage(fact)
	if err != nil {
		return 0, err
	}
	msg.Header.Set(jetstream.ExpectedStreamHeader, streams.Queue)
	seq, err := f.queue.Publish(ctx, msg)
	if streams.IsDuplicate(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("execution %s: queue: %w", fact.ID, err)
	}
	return seq, nil
}

// Cancel ends a waiting execution, or asks the runner of a running one to end it. It returns the state after
// the change; canceling what is being canceled or has ended changes nothing.
func (f *Facts) Cancel(ctx context.Context, action, id, by string) (State, error) {
	st, _, err := f.CancelIf(ctx, action, id, by, func(Fact) bool { return true })
	return st, err
}

// CancelIf is Cancel for an execution that still is as the caller wants it, which may be asked several times: the
// execution moves on. It tells whether it changed anything.
func (f *Facts) CancelIf(ctx context.Context, action, id, by string, may func(Fact) bool) (State, bool, error) {
	for {
		st, err := f.Last(ctx, action, id)
		if err != nil || Final(st.Status) || st.Status == streams.Canceling || !may(st.Fact) {
			return st, false, err
		}
		to := canceled(st.Fact, by)
		seq, err := f.Append(ctx, st, to)
		if errors.Is(err, ErrStale) {
			continue // it moved on; look again
		}
		return State{Fact: to, Sequence: seq}, err == nil, err
	}
}

// Dismiss ends an attempt that is still only requested, and tells whether it did: nobody who runs is touched.
func (f *Facts) Dismiss(ctx context.Context, action, id string, attempt int, to Status, by string, why streams.Error) (bool, error) {
	for {
		st, err := f.Last(ctx, action, id)
		if errors.Is(err, ErrNotFound) || err == nil && (st.Status != streams.Requested || st.Attempt != attempt) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		end := st.Fact
		end.At, end.Status, end.By, end.Error = now(), to, by, &why
		end.EndedAt, end.Parameters, end.NotBefore = &end.At, nil, nil
		_, err = f.Append(ctx, st, end)
		if errors.Is(err, ErrStale) {
			continue // it moved on; look again
		}
		return err == nil, err
	}
}

func canceled(f Fact, by string) Fact {
	f.At, f.By = now(), by
	if f.Status == streams.Running {
		f.Status = streams.Canceling
		return f
	}
	f.Status, f.Parameters, f.NotBefore = streams.Canceled, nil, nil
	f.EndedAt = &f.At
	f.Error = &streams.Error{Class: streams.ClassCanceled, Message: "canceled before it started"}
	return f
}
