package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// Values gives the values of secrets, each of the first owner that has it; Store does.
type Values interface {
	Values(ctx context.Context, owners []Owner, names []string) (map[string][]byte, error)
}

// Declarations tells which secrets an action or a sensor declares, in the pack of that digest; Packs does. Those that
// a sensor's own configuration refers to are among them.
type Declarations interface {
	Declared(ctx context.Context, action pack.Ref, digest string) ([]string, error)
	DeclaredBySensor(ctx context.Context, sensor pack.Ref, digest string) ([]string, error)
}

// ServeConfig describes who answers for secrets. All fields are required.
type ServeConfig struct {
	Bus          *bus.Bus
	Values       Values
	Declarations Declarations
	Logger       *slog.Logger
}

const (
	servers       = 8 // requests answered at once: each is a few reads
	answerTimeout = 4 * time.Second
	queueGroup    = "secrets"
)

// Serve answers runners and hosts of sensors that ask for secrets, until ctx ends, once the bus answers. Several copies
// share the work.
func Serve(ctx context.Context, c ServeConfig) error {
	r := &responder{ServeConfig: c, facts: execution.NewFacts(c.Bus.JS)}
	notify := func(err error, next time.Duration) {
		c.Logger.WarnContext(ctx, "secrets are not served yet", slog.Any(logging.Error, err), slog.Duration("retry_in", next))
	}
	if err := lifecycle.Insist(ctx, lifecycle.Pauses(100*time.Millisecond, 2*time.Second), notify, func() error { return r.open(ctx) }); err != nil {
		return fmt.Errorf("serve secrets: %w", err)
	}
	sub, err := c.Bus.Conn.QueueSubscribeSync(streams.RPCSecret, queueGroup)
	if err != nil {
		return fmt.Errorf("serve secrets: subscribe %s: %w", streams.RPCSecret, err)
	}
	var g errgroup.Group
	g.SetLimit(servers)
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			c.Logger.WarnContext(ctx, "more asked for secrets at once than can be answered; who got no answer asks again")
			continue
		}
		if err != nil {
			_ = sub.Unsubscribe() // fails only when the connection has been closed
			_ = g.Wait()          // the functions return nil
			return fmt.Errorf("serve secrets: %w", err)
		}
		g.Go(func() error { r.respond(ctx, m); return nil })
	}
}

type responder struct {
	ServeConfig
	runners jetstream.KeyValue
	sensors jetstream.KeyValue
	configs jetstream.KeyValue
	facts   *execution.Facts
}

func (r *responder) open(ctx context.Context) error {
	for name, kv := range map[string]*jetstream.KeyValue{
		streams.BucketRunners: &r.runners, streams.BucketSensors: &r.sensors, streams.BucketConfigs: &r.configs,
	} {
		var err error
		if *kv, err = r.Bus.JS.KeyValue(ctx, name); err != nil {
			return fmt.Errorf("open bucket %s: %w", name, err)
		}
	}
	return nil
}

func (r *responder) respond(ctx context.Context, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	a, err := r.answer(ctx, m.Data)
	if err != nil {
		a = answer{Version: wireVersion, Refused: reason(err), Retry: !final(err)}
		r.Logger.WarnContext(ctx, "secrets not given", slog.Any(logging.Error, err))
	}
	data, err := json.Marshal(a)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		r.Logger.WarnContext(ctx, "answer for secrets not sent", slog.Any(logging.Error, err))
	}
}

// final tells whether asking again would change nothing.
func final(err error) bool {
	return errors.Is(err, ErrRefused) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrBadName)
}

// reason is what a runner, and with it a user, is told. What went wrong inside stays in our log.
func reason(err error) string {
	if final(err) {
		return err.Error()
	}
	return "secrets cannot be read now"
}

func (r *responder) answer(ctx context.Context, data []byte) (answer, error) {
	q, err := parseRequest(data)
	if err != nil {
		return answer{}, errors.Join(ErrRefused, err)
	}
	e, err := r.entitled(ctx, q)
	if err != nil {
		return answer{}, err
	}
	if err := q.within(e); err != nil {
		return answer{}, err
	}
	g, err := r.given(ctx, q, e)
	if err != nil {
		return answer{}, err
	}
	return sealTo(e.key, g)
}

// entitled tells what whoever asks may have.
func (r *responder) entitled(ctx context.Context, q request) (entitled, error) {
	if q.Sensor != "" {
		return r.entitledSensor(ctx, q)
	}
	return r.entitledExecution(ctx, q)
}

// running gives the execution's state when it runs at that attempt.
func (r *responder) running(ctx context.Context, q request) (execution.State, error) {
	st, err := r.facts.Find(ctx, q.Execution)
	if errors.Is(err, execution.ErrNotFound) || errors.Is(err, streams.ErrBadToken) {
		return st, fmt.Errorf("execution %.60q is not known: %w", q.Execution, ErrRefused)
	}
	if err != nil {
		return st, err
	}
	if st.Status != streams.Running || st.Attempt != q.Attempt {
		return st, fmt.Errorf("execution %s is %s at attempt %d, asked for attempt %d: %w", st.ID, st.Status, st.Attempt, q.Attempt, ErrRefused)
	}
	return st, nil
}

// keyOf gives the curve key in a runner's heartbeat. It may be missing for a moment after the runner's start.
func (r *responder) keyOf(ctx context.Context, runner string) (string, error) {
	entry, err := r.runners.Get(ctx, runner)
	if err != nil {
		return "", fmt.Errorf("runner %s: %w", runner, err)
	}
	var info streams.RunnerInfo
	if err := json.Unmarshal(entry.Value(), &info); err != nil {
		return "", fmt.Errorf("runner %s: parse heartbeat: %w", runner, err)
	}
	return info.XKey, nil
}
