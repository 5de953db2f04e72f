package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// puppet is a runner that speaks the real protocol and runs nothing.
type puppet struct {
	name  string
	since time.Time
	facts *execution.Facts
	w     *world
	slots chan struct{}
	work  func(id string)         // returns when the attempt is to end
	fails func(streams.Fact) bool // tells whether it is to fail; nil: never
	wg    sync.WaitGroup
}

// run starts a runner with a heartbeat.
func (w *world) run(name string, slots int, work func(id string)) *puppet {
	w.t.Helper()
	return w.runFailing(name, slots, work, nil)
}

// runFailing is run for a runner on which some attempts fail.
func (w *world) runFailing(name string, slots int, work func(id string), fails func(streams.Fact) bool) *puppet {
	w.t.Helper()
	b := w.connect()
	p := &puppet{name: name, since: time.Now().UTC(), facts: execution.NewFacts(b.JS), w: w, slots: make(chan struct{}, slots), work: work, fails: fails}
	p.beat()
	pool, err := streams.PoolConsumer(streams.DefaultPool)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := b.JS.Consumer(w.t.Context(), streams.Runs, pool)
	if err != nil {
		w.t.Fatal(err)
	}
	running, err := c.Consume(p.handle, jetstream.PullMaxMessages(max(slots, 2)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		for _, g := range w.gates {
			g.openAll()
		}
		running.Stop()
		<-running.Closed()
		p.wg.Wait()
	})
	return p
}

func (p *puppet) beat() {
	p.w.t.Helper()
	kv, err := p.w.bus.JS.KeyValue(p.w.t.Context(), streams.BucketRunners)
	if err != nil {
		p.w.t.Fatal(err)
	}
	data, err := json.Marshal(streams.RunnerInfo{Version: 1, Name: p.name, Pool: streams.DefaultPool, StartedAt: p.since})
	if err != nil {
		p.w.t.Fatal(err)
	}
	if _, err := kv.Put(p.w.t.Context(), p.name, data); err != nil {
		p.w.t.Fatal(err)
	}
}

// die removes the runner's entry, as its expiry does.
func (p *puppet) die() {
	p.w.t.Helper()
	kv, err := p.w.bus.JS.KeyValue(p.w.t.Context(), streams.BucketRunners)
	if err != nil {
		p.w.t.Fatal(err)
	}
	if err := kv.Purge(p.w.t.Context(), p.name); err != nil {
		p.w.t.Fatal(err)
	}
}

func (p *puppet) handle(m jetstream.Msg) {
	p.slots <- struct{}{}
	var run streams.Run
	if err := json.Unmarshal(m.Data(), &run); err != nil {
		p.w.t.Error(err)
	}
	st, ok := p.claim(run)
	if err := m.Ack(); err != nil {
		p.w.t.Logf("ack: %v", err)
	}
	if !ok {
		<-p.slots
		return
	}
	p.wg.Go(func() {
		defer func() { <-p.slots }()
		p.work(run.ID)
		p.end(st)
	})
}

func (p *puppet) claim(run streams.Run) (execution.State, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	st, err := p.facts.Last(ctx, run.Action, run.ID)
	if err != nil || st.Status != streams.Requested || st.Attempt != run.Attempt {
		return st, false
	}
	now := time.Now().UTC()
	st.Status, st.Runner, st.StartedAt, st.At = streams.Running, p.name, &now, now
	was := st
	was.Status = streams.Requested
	st.Sequence, err = p.facts.Append(ctx, was, st.Fact)
	return st, err == nil
}

func (p *puppet) end(st execution.State) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	to := st.Fact
	now := time.Now().UTC()
	to.Status, to.At, to.EndedAt = streams.Succeeded, now, &now
	if p.fails != nil && p.fails(st.Fact) {
		to.Status, to.Error = streams.Failed, &streams.Error{Class: streams.ClassExitStatus, Message: "exit status 1"}
	}
	if _, err := p.facts.EndAttempt(ctx, st, to); err != nil && !errors.Is(err, execution.ErrStale) && !errors.Is(err, context.DeadlineExceeded) {
		p.w.t.Logf("end %s: %v", st.ID, err)
	}
}

// gate lets executions end when the test says so, and all when it is over.
type gate struct {
	over chan struct{} // closed when all are to end

	mu   sync.Mutex // guards the field below
	open map[string]chan struct{}
}

func (w *world) newGate() *gate {
	g := &gate{over: make(chan struct{}), open: map[string]chan struct{}{}}
	w.gates = append(w.gates, g)
	return g
}

func (g *gate) of(id string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.open[id]
	if !ok {
		c = make(chan struct{})
		g.open[id] = c
	}
	return c
}

func (g *gate) wait(id string) {
	select {
	case <-g.of(id):
	case <-g.over:
	}
}

func (g *gate) end(id string) { close(g.of(id)) }

func (g *gate) openAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.over:
	default:
		close(g.over)
	}
}
