// Package recorder is the service that writes history: it projects EVENTS, DECISIONS and EXECUTIONS into
// PostgreSQL.
//
// It guarantees that every message is in the database before it is acknowledged, so nothing is lost while the
// database is away or when the recorder is killed at any point; that several copies, repeated deliveries and a
// replay of a whole stream change nothing; and that a message which cannot become history is noted in
// rejected_messages, and neither repeated for ever nor in the way of others. Once an execution's end has been
// in the database for a grace, its facts leave EXECUTIONS. Ends become events of the trigger
// core.execution_ended while a rule waits for them. A log whose runner could not complete it is completed from what
// it left. One copy removes the logs, and in the end the history, that no policy
// keeps, and one forwards output where that is configured.
package recorder

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/forward"
	"github.com/attune/attune/pkg/history"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/retention"
	"github.com/attune/attune/streams"
)

// DefaultGrace is how long an execution's facts stay on the bus after its end is in the database.
const DefaultGrace = 10 * time.Minute

// EndedTrigger is the trigger whose events are the ends of executions.
var EndedTrigger = pack.Ref{Pack: "core", Name: "execution_ended"}

// Config is what a recorder works with. Bus and DB are required.
type Config struct {
	Bus        *bus.Bus
	DB         *pgxpool.Pool
	Grace      time.Duration // 0 means DefaultGrace
	Settle     time.Duration // 0 means DefaultSettle
	Owner      string        // unique to this copy; "" leaves logs to other copies to sweep
	Retention  retention.Policies
	SweepEvery time.Duration       // 0 means DefaultSweepEvery
	Forward    forward.Destination // of output; without a Target it is not forwarded
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Recorder projects the streams.
type Recorder struct {
	Config
	id      string // of this copy
	history *history.Store
	metrics *metrics
	forward *forward.Forwarder // nil: nothing is forwarded
	wanted  atomic.Bool        // a rule waits for the ends of executions
	cleared int64              // the epoch of EXECUTIONS before which facts are known to be gone; of sweep
	ended   chan struct{}      // says that there may be ends to announce
}

// New makes a recorder.
func New(c Config) (*Recorder, error) {
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Settle == 0 {
		c.Settle = DefaultSettle
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	r := &Recorder{Config: c, id: uuid.NewString(), history: history.New(c.DB), metrics: m, ended: make(chan struct{}, 1)}
	if c.Forward.Target != "" {
		if r.forward, err = forward.New(forward.Config{Bus: c.Bus, Destination: c.Forward, Logger: c.Logger, Registerer: c.Registerer}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Run projects until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	events, decisions, facts := r.lanes()
	g.Go(func() error { return events.run(ctx) })
	g.Go(func() error { return decisions.run(ctx) })
	g.Go(func() error { return facts.run(ctx) })
	g.Go(func() error { return r.announce(ctx) })
	g.Go(func() error { return r.sweep(ctx) })
	g.Go(func() error { return r.partition(ctx) })
	g.Go(func() error { return r.settle(ctx) })
	g.Go(func() error { return r.retain(ctx) })
	g.Go(func() error { return definitions.New(r.DB).Watch(ctx, r.Logger, r.redefine) })
	return g.Wait()
}

func (r *Recorder) redefine(s *definitions.Snapshot) {
	r.wanted.Store(len(s.RulesOf(EndedTrigger)) > 0)
}

func (r *Recorder) lanes() (*lane[history.Received], *lane[ruling], *lane[history.FactAt]) {
	both := &pairs{write: r.history.ApplyEvents}
	events := &lane[history.Received]{
		Recorder: r, stream: streams.Events, parse: parseEvent,
		apply: func(ctx context.Context, _ int64, items []history.Received) error {
			return both.applyEvents(ctx, items)
		},
	}
	decisions := &lane[ruling]{
		Recorder: r, stream: streams.Decisions, parse: parseRuling,
		apply: func(ctx context.Context, _ int64, items []ruling) error { return r.applyRulings(ctx, both, items) },
	}
	facts := &lane[history.FactAt]{Recorder: r, stream: streams.Executions, parse: parseFact, apply: r.applyFacts}
	return events, decisions, facts
}

// applyRulings records sets of rules before the decisions that name them.
func (r *Recorder) applyRulings(ctx context.Context, both *pairs, items []ruling) error {
	var sets []streams.RuleSet
	decisions := make([]streams.Decision, 0, len(items))
	for _, it := range items {
		if it.set != nil {
			sets = append(sets, *it.set)
		} else {
			decisions = append(decisions, it.decision)
		}
	}
	if len(sets) > 0 {
		if err := r.history.ApplyRuleSets(ctx, sets); err != nil {
			return err
		}
	}
	if len(decisions) == 0 {
		return nil
	}
	return both.applyDecisions(ctx, decisions)
}

func (r *Recorder) applyFacts(ctx context.Context, epoch int64, facts []history.FactAt) error {
	batch := history.FactBatch{Epoch: epoch, Announce: r.wanted.Load()}
	if err := r.history.ApplyFacts(ctx, batch, facts); err != nil {
		return err
	}
	if batch.Announce {
		select {
		case r.ended <- struct{}{}:
		default: // it has been said and not been heard yet
		}
	}
	return nil
}
