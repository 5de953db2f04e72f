package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// errFenced is the cause of the end of a term whose dispatch the server refused: another copy leads.
var errFenced = errors.New("another scheduler has taken over")

// inbox is how many messages of a stream may wait for the loop; beyond, the server is not read on.
const inbox = 1024

// term is one time of leading. Its loop alone touches the state machine and what else is marked as the loop's;
// workers reach it by do.
type term struct {
	*Scheduler
	end        context.CancelCauseFunc
	epoch      uint64 // sequence of this leader's marker on RUNS
	replicated bool   // the streams have replicas: reads may lag, and dispatches go in batches

	queued   chan queued
	heads    chan execution.Head
	commands chan func()

	state    *admission.State // the loop's
	fleet    *fleet           // the loop's
	dues     *dues            // the loop's
	alarm    alarm            // the loop's
	read     uint64           // the loop's: sequence of the last message of QUEUE that was handled
	asking   []waitingAnswer  // the loop's
	rated    *backlog[admission.Admission]
	dispatch *backlog[admission.Admission]
	unsent   *backlog[admission.ID]
	dismiss  *backlog[dismissal]
	requeue  *backlog[admission.Admission]
	remove   *trail
	suspects *backlog[suspect]
	bereaved *backlog[bereavement]
}

// queued is a message of QUEUE.
type queued struct {
	admission.Request
	barrier uint64 // the epoch of a leader's mark; 0 for an execution
	poison  error  // why it cannot be understood
}

// newTerm takes the leadership on RUNS: from here on the server refuses the dispatches of every earlier leader.
func (s *Scheduler) newTerm(ctx context.Context, end context.CancelCauseFunc) (*term, error) {
	runs, err := s.Bus.JS.Stream(ctx, streams.Runs)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", streams.Runs, err)
	}
	marker := nats.NewMsg(streams.LeaderSubject)
	marker.Data = []byte(s.ID)
	ack, err := s.Bus.JS.PublishMsg(ctx, marker, jetstream.WithExpectStream(streams.Runs))
	if err != nil {
		return nil, fmt.Errorf("publish marker: %w", err)
	}
	failpoint.Hit(failpoint.SchedulerMarked)
	return &term{
		Scheduler: s, end: end, epoch: ack.Sequence, replicated: runs.CachedInfo().Config.Replicas > 1,
		queued: make(chan queued, inbox), heads: make(chan execution.Head, inbox), commands: make(chan func()),
		state: admission.New(s.Aging), fleet: newFleet(s.pace), dues: newDues(), alarm: newAlarm(),
		rated: newBacklog[admission.Admission](), dispatch: newBacklog[admission.Admission](), unsent: newBacklog[admission.ID](),
		dismiss: newBacklog[dismissal](), requeue: newBacklog[admission.Admission](), remove: newTrail(),
		suspects: newBacklog[suspect](), bereaved: newBacklog[bereavement](),
	}, nil
}

// run rebuilds and then leads until something ends the term.
func (t *term) run(ctx context.Context) error {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.serve(ctx, g, began) })
	return g.Wait()
}

// serve is the loop's goroutine.
func (t *term) serve(ctx context.Context, g *errgroup.Group, began time.Time) error {
	fed, stopFeeding := context.WithCancel(ctx)
	feeds, err := t.rebuild(fed)
	defer func() {
		stopFeeding() // before the feeds are waited for: they may be holding a message for the loop
		feeds.stop()
	}()
	if err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	failpoint.Hit(failpoint.SchedulerRebuilt)
	known := t.firstPolicies(ctx)
	t.apply(nil, known)
	stopAnswers, err := t.answer(ctx)
	defer stopAnswers()
	if err != nil {
		return err
	}
	work := append(feeds.followers, t.keepRates, t.dispatchAll, t.followUnsent, t.dismissAll, t.requeueAll, t.removeAll,
		t.checkSuspects, t.rescueAll, t.recover, func(ctx context.Context) error { return t.followPolicies(ctx, known) })
	for _, work := range work {
		g.Go(func() error { return work(ctx) })
	}
	t.leading.begin(t)
	defer t.leading.cease()
	waiting, holding := t.state.Counts()
	t.Logger.InfoContext(ctx, "leading", slog.Uint64("epoch", t.epoch), slog.Int("waiting", waiting),
		slog.Int("running", holding), slog.Duration("rebuilt_in", time.Since(began)))
	return t.loop(ctx)
}

// loop is the one place where the machine is fed and asked.
func (t *term) loop(ctx context.Context) error {
	defer t.dues.stop()
	defer t.alarm.stop()
	for {
		t.decide()
		t.answerRead() // after the decisions: whoever starts at once does not wait
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-t.queued:
			t.onQueued(ctx, m)
		case h := <-t.heads:
			t.onHead(ctx, h)
		case command := <-t.commands:
			command()
		case <-t.dues.timer.C:
			t.onDue(ctx, time.Now())
		case <-t.alarm.timer.C:
			t.alarm.rang()
		}
	}
}

// do runs a command on the loop and returns when it has been run.
func (t *term) do(ctx context.Context, command func()) error {
	done := make(chan struct{})
	select {
	case t.commands <- func() { command(); close(done) }:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	<-done // the loop runs what it has taken
	return nil
}

// onQueued takes in a message of QUEUE.
func (t *term) onQueued(ctx context.Context, m queued) {
	t.read = m.Seq
	t.remove.saw(m.Seq)
	switch {
	case m.barrier > t.epoch: // of a leader that has taken over, who is looking for it
		return
	case m.barrier != 0:
		t.remove.put(m.Seq)
		return
	case m.poison != nil:
		t.Logger.WarnContext(ctx, "queue message refused", slog.Uint64("sequence", m.Seq), slog.Any(logging.Error, m.poison))
		t.remove.put(m.Seq)
		return
	}
	if _, stale := t.state.Queued(m.Request, time.Now()); stale != 0 {
		t.remove.put(stale)
	}
}

// onHead takes in a fact. Facts of one execution come in order; all may come again.
func (t *term) onHead(ctx context.Context, h execution.Head) {
	id, err := parseID(h.ID)
	if err != nil {
		return // no queue message of it was taken either
	}
	now := time.Now()
	switch {
	case execution.Final(h.Status):
		t.onEnd(id, h.Attempt, now)
	case execution.HoldsSlot(h.Status):
		t.onStart(ctx, id, h, now)
	case h.Status == streams.Requested:
		t.onRequested(id, h, now)
	}
}

// onRequested takes in the request of an attempt: of the first, whose queue message is about to come unless it is
// for later, or of another, which the fact itself announces.
func (t *term) onRequested(id admission.ID, h execution.Head, now time.Time) {
	if h.Attempt > 1 && t.state.Retry(id, h.Attempt, h.NotBefore, h.Hold, now) {
		t.fleet.release(id)
		t.metrics.retries.Inc()
		return
	}
	if _, known := t.state.Find(id); known || t.state.HasEnded(id, h.Attempt) {
		return
	}
	at := now.Add(t.pace.orphan)
	if !h.NotBefore.IsZero() { // nobody but the leader puts it in line
		at = h.NotBefore
	}
	t.dues.add(at, due{kind: dueOrphan, id: id, attempt: int32(h.Attempt)})
}

func (t *term) onStart(ctx context.Context, id admission.ID, h execution.Head, now time.Time) {
	t.state.Start(id, h.Attempt, now)
	if h.Runner == "" || t.state.HasEnded(id, h.Attempt) {
		return
	}
	if t.fleet.claim(id, claim{runner: h.Runner, action: h.Action, at: h.StartedAt}, now) {
		t.watchOver(now)
	}
	t.Logger.DebugContext(ctx, "execution claimed", slog.String(logging.ExecutionID, h.ID), slog.String(logging.Runner, h.Runner))
}

// onEnd frees the slot; the queue message goes once its execution has ended.
func (t *term) onEnd(id admission.ID, attempt int, now time.Time) {
	t.fleet.release(id)
	if p, ok := t.state.End(id, attempt, now); ok {
		t.remove.put(p.Message)
	}
}

// leadership tells who leads in this process, for callers outside of a term.
type leadership struct{ current atomic.Pointer[term] }

func (l *leadership) begin(t *term) { l.current.Store(t) }
func (l *leadership) cease()        { l.current.Store(nil) }
