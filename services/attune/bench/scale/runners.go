package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// How runners publish facts.
const (
	factsBatched = "batched"
	factsSingle  = "single"
)

// batchFrom is how many facts are worth an atomic batch; fewer are published side by side.
const batchFrom = 32

const (
	// pullExpires is how long a request for messages stands; it is renewed when it ends.
	pullExpires = 30 * time.Second
	// askParts is in how many parts at most a runner asks for its slots.
	askParts = 8
	// lookTries and lookPause are how often and how soon it is looked whether a fact has arrived.
	lookTries = 50
	lookPause = 100 * time.Millisecond
)

// errPull is returned when the server refuses a request for messages.
var errPull = errors.New("server refused to hand out work")

// ended says when the claim and the end of an execution were sent.
type ended struct{ claim, over time.Time }

// runner is a simulated runner: it pulls, claims and ends as the real one does, and runs nothing in between.
type runner struct {
	name  string
	bus   *bus.Bus
	facts *execution.Facts
	slots int
	batch bool
	sub   *nats.Subscription
	in    chan *nats.Msg
	ends  chan<- ended
	free  chan int // slots that have become free
}

func newRunner(ctx context.Context, name, url string, o Options, ends chan<- ended) (*runner, error) {
	b, err := bus.Connect(ctx, bus.Config{URL: url, Name: name, FailFast: true})
	if err != nil {
		return nil, err
	}
	r := &runner{
		name: name, bus: b, facts: execution.NewFacts(b.JS), slots: o.Slots, batch: o.Facts == factsBatched,
		in: make(chan *nats.Msg, 2*o.Slots+64), ends: ends, free: make(chan int, o.Slots),
	}
	if r.sub, err = b.Conn.ChanSubscribe(b.Conn.NewInbox(), r.in); err != nil {
		return nil, err
	}
	return r, nil
}

// run works until ctx ends.
func (r *runner) run(ctx context.Context) error {
	defer r.bus.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.beat(ctx) })
	g.Go(func() error { return r.pull(ctx, g) })
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// beat keeps the runner's entry alive.
func (r *runner) beat(ctx context.Context) error {
	kv, err := r.bus.JS.KeyValue(ctx, streams.BucketRunners)
	if err != nil {
		return err
	}
	info := streams.RunnerInfo{Version: streams.Version, Name: r.name, Pool: streams.DefaultPool, Slots: r.slots, StartedAt: time.Now().UTC()}
	tick := time.NewTicker(streams.RunnerHeartbeat)
	defer tick.Stop()
	for {
		data, err := json.Marshal(info)
		if err != nil {
			return err
		}
		if _, err := kv.Put(ctx, r.name, data); err != nil && ctx.Err() == nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// pull asks for a message per free slot and works through what comes. It asks for some slots together: the
// server lets a consumer have only so many requests.
func (r *runner) pull(ctx context.Context, g *errgroup.Group) error {
	owed := r.slots
	for {
		if owed > 0 && owed >= r.slots/askParts {
			if err := r.ask(owed); err != nil {
				return err
			}
			owed = 0
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case n := <-r.free:
			owed += n
		case m := <-r.in:
			msgs, again, err := r.burst(m)
			if err != nil {
				return err
			}
			owed += again
			if err := r.work(ctx, g, msgs); err != nil {
				return err
			}
		}
	}
}

// burst takes what has come together, at most a batch, and tells how many messages have to be asked for anew.
func (r *runner) burst(m *nats.Msg) (msgs []*nats.Msg, again int, err error) {
	for {
		switch status := m.Header.Get("Status"); status {
		case "":
			msgs = append(msgs, m)
		case "408":
			n, _ := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
			again += n
		default:
			return nil, 0, fmt.Errorf("%w: %s %s", errPull, status, m.Header.Get("Description"))
		}
		if len(msgs) == bus.MaxBatch {
			return msgs, again, nil
		}
		select {
		case m = <-r.in:
		default:
			return msgs, again, nil
		}
	}
}

func (r *runner) ask(n int) error {
	consumer, err := streams.PoolConsumer(streams.DefaultPool)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"batch": n, "expires": pullExpires})
	if err != nil {
		return err
	}
	return r.bus.Conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+streams.Runs+"."+consumer, r.sub.Subject, body)
}

// work takes what has come from claim to end. What comes while a batch is under way makes the next one.
func (r *runner) work(ctx context.Context, g *errgroup.Group, msgs []*nats.Msg) error {
	if r.batch && len(msgs) >= batchFrom {
		return r.together(ctx, msgs)
	}
	for _, m := range msgs {
		g.Go(func() error { return r.alone(ctx, m) })
	}
	return nil
}

// alone takes one execution from its claim to its end.
func (r *runner) alone(ctx context.Context, m *nats.Msg) error {
	defer func() { r.free <- 1 }()
	var run streams.Run
	if err := json.Unmarshal(m.Data, &run); err != nil {
		return err
	}
	st, err := r.facts.Last(ctx, run.Action, run.ID)
	if err != nil {
		return err
	}
	if st.Status != streams.Requested || st.Attempt != run.Attempt {
		return m.Ack() // dispatched once more by a leader that did not see the claim
	}
	claim, err := r.step(ctx, st, r.claimOf(st.Fact))
	if err != nil {
		return err
	}
	if err := m.Ack(); err != nil {
		return err
	}
	end := endOf(claim.Fact)
	if _, err := r.step(ctx, claim, end); err != nil {
		return err
	}
	return r.tell(ctx, ended{claim: claim.At, over: end.At})
}

// step publishes a fact. When the server does not say that it has it, the runner looks, as the real one does.
func (r *runner) step(ctx context.Context, from execution.State, to execution.Fact) (execution.State, error) {
	seq, err := r.facts.Append(ctx, from, to)
	if err == nil {
		return execution.State{Fact: to, Sequence: seq}, nil
	}
	for range lookTries {
		last, lastErr := r.facts.Last(ctx, to.Action, to.ID)
		switch {
		case lastErr != nil || last.Sequence <= from.Sequence: // it has not arrived, or this server lags
			pause(ctx, lookPause)
			if seq, err = r.facts.Append(ctx, from, to); err == nil {
				return execution.State{Fact: to, Sequence: seq}, nil
			}
		case last.Status == to.Status && last.Runner == to.Runner && last.At.Equal(to.At):
			return last, nil
		default:
			return execution.State{}, fmt.Errorf("it is %s by %q: %w", last.Status, last.Runner, err)
		}
	}
	return execution.State{}, err
}

func (r *runner) tell(ctx context.Context, e ended) error {
	select {
	case r.ends <- e:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *runner) claimOf(f execution.Fact) execution.Fact {
	f.At = time.Now().UTC()
	at := f.At
	f.Status, f.Runner, f.StartedAt, f.Parameters = streams.Running, r.name, &at, nil
	return f
}

func endOf(f execution.Fact) execution.Fact {
	f.At = time.Now().UTC()
	at, code := f.At, 0
	f.Status, f.EndedAt, f.ExitCode = streams.Succeeded, &at, &code
	return f
}

// together takes many executions from their claims to their ends, each step as one batch, as many runners
// would do that share the work.
func (r *runner) together(ctx context.Context, msgs []*nats.Msg) error {
	defer func() { r.free <- len(msgs) }()
	states, err := r.read(ctx, msgs)
	if err != nil {
		return err
	}
	claims := make([]execution.State, len(states))
	for i, st := range states {
		claims[i] = execution.State{Fact: r.claimOf(st.Fact), Sequence: st.Sequence}
	}
	if claims, err = r.append(ctx, claims); err != nil {
		return err
	}
	for _, m := range msgs {
		if err := m.Ack(); err != nil {
			return err
		}
	}
	ends := make([]execution.State, len(claims))
	for i, st := range claims {
		ends[i] = execution.State{Fact: endOf(st.Fact), Sequence: st.Sequence}
	}
	if _, err := r.append(ctx, ends); err != nil {
		return err
	}
	for _, st := range ends {
		if err := r.tell(ctx, ended{claim: *st.StartedAt, over: st.At}); err != nil {
			return err
		}
	}
	return nil
}

// append publishes facts by compare-and-set after the sequences that they carry, and gives them with their own.
func (r *runner) append(ctx context.Context, facts []execution.State) ([]execution.State, error) {
	if len(facts) == 0 {
		return nil, nil
	}
	msgs := make([]*nats.Msg, len(facts))
	for i, f := range facts {
		m, err := execution.NewMessage(f.Fact)
		if err != nil {
			return nil, err
		}
		m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(f.Sequence, 10))
		msgs[i] = m
	}
	last, err := r.bus.PublishBatch(ctx, msgs)
	if err != nil {
		return nil, fmt.Errorf("publish %d facts: %w", len(facts), err)
	}
	first := last - uint64(len(facts)) + 1
	for i := range facts {
		facts[i].Sequence = first + uint64(i)
	}
	return facts, nil
}

// read gives the states of what was dispatched, leaving out what somebody has claimed already. The questions
// are sent together.
func (r *runner) read(ctx context.Context, msgs []*nats.Msg) ([]execution.State, error) {
	inbox := r.bus.Conn.NewInbox()
	sub, err := r.bus.Conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails on a closed connection, which has no subscriptions
	for _, m := range msgs {
		if err := r.question(m, inbox); err != nil {
			return nil, err
		}
	}
	states := make([]execution.State, 0, len(msgs))
	for range msgs {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		fact, err := execution.ParseFact(m.Data)
		if err != nil {
			return nil, fmt.Errorf("read fact: %s: %w", m.Header.Get("Status"), err)
		}
		seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
		if err != nil {
			return nil, err
		}
		if fact.Status == streams.Requested {
			states = append(states, execution.State{Fact: fact, Sequence: seq})
		}
	}
	return states, nil
}

func (r *runner) question(m *nats.Msg, inbox string) error {
	var run streams.Run
	if err := json.Unmarshal(m.Data, &run); err != nil {
		return err
	}
	ref, err := pack.ParseRef(run.Action)
	if err != nil {
		return err
	}
	subject, err := streams.ExecutionSubject(ref.Pack, ref.Name, run.ID)
	if err != nil {
		return err
	}
	return r.bus.Conn.PublishRequest("$JS.API.DIRECT.GET."+streams.Executions+"."+subject, inbox, nil)
}
