package historybench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/streams"
)

// patience bounds how long what was published may take to be recorded.
const patience = 2 * time.Minute

// What an execution of the traffic takes until it starts, and until it ends.
const (
	startsAfter = 5 * time.Millisecond
	endsAfter   = 40 * time.Millisecond
)

// traffic publishes events, what is decided about them, and the facts of the executions that come of them, as rules,
// scheduler and runners would.
type traffic struct {
	bus  *bus.Bus
	rate int // executions a second

	failed atomic.Pointer[error]
	ending sync.WaitGroup // executions that have not ended
}

// run lets so many executions come, and returns when all have ended.
func (t *traffic) run(ctx context.Context, executions int) error {
	stop, err := t.decide(ctx)
	if err != nil {
		return err
	}
	defer stop()
	began := time.Now()
	for n := 0; n < executions; {
		due := min(int(time.Since(began).Seconds()*float64(t.rate))+1, executions)
		for ; n < due; n++ {
			t.ending.Add(2)
			number := n // it goes on
			go t.do(func() error { return t.happen(ctx, number) })
		}
		if err := t.failed.Load(); err != nil {
			return *err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
		}
	}
	t.ending.Wait()
	if err := t.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (t *traffic) do(step func() error) {
	defer t.ending.Done()
	if err := step(); err != nil {
		t.failed.CompareAndSwap(nil, &err)
	}
}

const trigger = "pack0.trigger0"

// happen publishes an event.
func (t *traffic) happen(ctx context.Context, n int) error {
	payload := fmt.Appendf(nil, `{"host":"web%d.example.org","check":"http","state":"critical","since":"2026-01-01T00:00:00Z","attempt":%d}`, n%1000, n)
	_, err := event.Publish(ctx, t.bus.JS, event.New{Trigger: trigger, Payload: payload, Source: "bench"})
	return err
}

// decide lets an execution come of each event from now on.
func (t *traffic) decide(ctx context.Context) (stop func(), err error) {
	c, err := t.bus.JS.OrderedConsumer(ctx, streams.Events, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
	if err != nil {
		return nil, err
	}
	reading, err := c.Consume(func(m jetstream.Msg) {
		go t.do(func() error {
			msg, err := event.FromJetStream(m)
			if err != nil {
				return err
			}
			e, err := event.FromMessage(msg)
			if err != nil {
				return err
			}
			return t.live(ctx, e)
		})
	})
	if err != nil {
		return nil, err
	}
	return reading.Stop, nil
}

// live is the life of an event and its execution.
func (t *traffic) live(ctx context.Context, e event.Event) error {
	n, now := int(e.Sequence), time.Now().UTC()
	action := fmt.Sprintf("pack%d.action%d", n%20, n%200)
	f := streams.Fact{
		Version: 1, ID: execution.DeriveID(e.ID, "pack0.rule0"), Action: action, PackDigest: "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		Status: streams.Requested, Attempt: 1, At: now, RequestedAt: now, RequestedBy: "rules", Pool: "default", Rule: "pack0.rule0", Event: e.ID, Hops: 1,
		Parameters: fmt.Appendf(nil, `{"host":"web%d.example.org","service":"nginx","timeout":30,"reason":"check http is critical","ticket":%d}`, n%1000, n),
	}
	if err := t.fact(f); err != nil {
		return err
	}
	subject, err := streams.DecisionSubject("pack0", "trigger0", e.ID)
	if err != nil {
		return err
	}
	d := streams.Decision{
		Version: 1, EventID: e.ID, EventSeq: e.Sequence, Trigger: trigger, At: now, ReceivedAt: e.ReceivedAt, Status: streams.EventDecided,
		Rules: []streams.RuleDecision{{Rule: "pack0.rule0", Outcome: streams.Matched, Execution: f.ID, Action: action}},
	}
	if err := t.publish(subject, d); err != nil {
		return err
	}
	return t.execute(ctx, f)
}

// execute starts and ends an execution.
func (t *traffic) execute(ctx context.Context, f streams.Fact) error {
	lifecycle.Pause(ctx, startsAfter)
	started := time.Now().UTC()
	f.Status, f.At, f.StartedAt, f.Runner, f.Parameters = streams.Running, started, &started, "runner-1-0123456789abcdef", nil
	if err := t.fact(f); err != nil {
		return err
	}
	lifecycle.Pause(ctx, endsAfter)
	end, code := time.Now().UTC(), 0
	f.Status, f.At, f.EndedAt, f.ExitCode = streams.Succeeded, end, &end, &code
	f.Result, f.Output = json.RawMessage(`{"changed":true,"restarted":["nginx"]}`), &streams.Output{StdoutBytes: 300, LogBytes: 300, StoredBytes: 180}
	return t.fact(f)
}

func (t *traffic) fact(f streams.Fact) error {
	m, err := execution.NewMessage(f)
	if err != nil {
		return err
	}
	return t.bus.Conn.PublishMsg(m)
}

func (t *traffic) publish(subject string, message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return t.bus.Conn.PublishMsg(&nats.Msg{Subject: subject, Data: data})
}

// awaitRecorded returns when the recorder has acknowledged all that there is.
func (t *traffic) awaitRecorded(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, stream := range []string{streams.Events, streams.Decisions, streams.Executions} {
		for {
			c, err := t.bus.JS.Consumer(ctx, stream, streams.ConsumerRecorder)
			if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return err
			}
			if err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0 {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not recorded: %w", stream, ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}
