package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/admission"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

// claim says which life of which runner runs an execution.
type claim struct {
	runner string
	action pack.Ref
	at     time.Time // by the runner's clock
}

// runner is what the leader knows of one.
type runner struct {
	seen    time.Time // by this process's clock
	started time.Time // by the runner's clock; zero until its entry was seen
	claims  map[admission.ID]struct{}
}

// fleet knows which runner runs what. The loop owns it.
type fleet struct {
	pace    pace
	runners map[string]*runner
	claims  map[admission.ID]claim
	watched bool // a visit is due
}

// bereavement is an execution whose runner may be gone.
type bereavement struct {
	id admission.ID
	claim
	revision uint64 // of the notice that the runner's entry has ended; 0 without one
}

func newFleet(p pace) *fleet {
	return &fleet{pace: p, runners: map[string]*runner{}, claims: map[admission.ID]claim{}}
}

// claim records who runs an execution and tells whether visits have to begin.
func (f *fleet) claim(id admission.ID, c claim, now time.Time) bool {
	if old, ok := f.claims[id]; ok && old == c {
		return false
	}
	f.release(id)
	r, ok := f.runners[c.runner]
	if !ok {
		r = &runner{seen: now.Add(f.pace.newcomer - f.pace.silence), claims: map[admission.ID]struct{}{}}
		f.runners[c.runner] = r
	}
	r.claims[id] = struct{}{}
	f.claims[id] = c
	begin := !f.watched
	f.watched = true
	return begin
}

func (f *fleet) release(id admission.ID) {
	c, ok := f.claims[id]
	if !ok {
		return
	}
	delete(f.claims, id)
	delete(f.runners[c.runner].claims, id)
}

// saw records a sign of life and gives what the runner ran in a former life.
func (f *fleet) saw(name string, started, now time.Time) []admission.ID {
	r, ok := f.runners[name]
	if !ok {
		r = &runner{claims: map[admission.ID]struct{}{}}
		f.runners[name] = r
	}
	r.seen = now
	if r.started.Equal(started) {
		return nil
	}
	r.started = started
	var former []admission.ID
	for id := range r.claims {
		if f.claims[id].at.Before(started) {
			former = append(former, id)
		}
	}
	return former
}

// restarted gives the execution when it is still that of a runner's former life.
func (f *fleet) restarted(id admission.ID) []bereavement {
	c, ok := f.claims[id]
	if !ok || !c.at.Before(f.runners[c.runner].started) {
		return nil
	}
	return []bereavement{{id: id, claim: c}}
}

// gone records the end of a runner's entry and gives all that it runs. A claim of it that arrives later is
// looked after as that of a newcomer.
func (f *fleet) gone(name string, revision uint64, now time.Time) []bereavement {
	r, ok := f.runners[name]
	if !ok {
		return nil
	}
	r.seen = now.Add(f.pace.newcomer - f.pace.silence)
	all := f.of(name)
	for i := range all {
		all[i].revision = revision
	}
	return all
}

// of gives all that a runner runs.
func (f *fleet) of(name string) []bereavement {
	r, ok := f.runners[name]
	if !ok {
		return nil
	}
	all := make([]bereavement, 0, len(r.claims))
	for id := range r.claims {
		all = append(all, bereavement{id: id, claim: f.claims[id]})
	}
	return all
}

// silent gives what is run by runners of whom nothing was heard for long, and forgets those that run nothing.
func (f *fleet) silent(now time.Time) []bereavement {
	var all []bereavement
	for name, r := range f.runners {
		switch {
		case now.Sub(r.seen) < f.pace.silence:
		case len(r.claims) == 0:
			delete(f.runners, name)
		default:
			r.seen = now.Add(f.pace.visit - f.pace.silence) // asked for again soon, should the answer get lost
			all = append(all, f.of(name)...)
		}
	}
	return all
}

func (t *term) watchOver(now time.Time) { t.dues.add(now.Add(t.pace.visit), due{kind: dueFleet}) }

func (t *term) visitFleet(ctx context.Context, now time.Time) {
	quiet := t.fleet.silent(now)
	if len(quiet) > 0 {
		t.Logger.DebugContext(ctx, "runners are silent", slog.Int("executions", len(quiet)))
	}
	t.bereaved.put(quiet...)
	if t.fleet.watched = len(t.fleet.claims) > 0; t.fleet.watched {
		t.watchOver(now)
	}
}

// onRunnerEntry takes in a heartbeat, or the end of an entry.
func (t *term) onRunnerEntry(ctx context.Context, e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		t.bereaved.put(t.fleet.gone(e.Key(), e.Revision(), time.Now())...)
		return
	}
	var info streams.RunnerInfo
	if err := json.Unmarshal(e.Value(), &info); err != nil {
		t.Logger.WarnContext(ctx, "runner's entry refused", slog.String(logging.Runner, e.Key()), slog.Any(logging.Error, err))
		return
	}
	t.onHeartbeat(e.Key(), info)
}

func (t *term) onHeartbeat(name string, info streams.RunnerInfo) {
	now := time.Now()
	for _, id := range t.fleet.saw(name, info.StartedAt, now) {
		t.dues.add(now.Add(t.pace.spool), due{kind: dueBereft, id: id})
	}
}

// rescueAll ends executions whose runner is gone.
func (t *term) rescueAll(ctx context.Context) error {
	kv, err := t.Bus.JS.KeyValue(ctx, streams.BucketRunners)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketRunners, err)
	}
	for {
		one, err := t.bereaved.take(ctx, 1)
		if err != nil {
			return err
		}
		if err := t.rescue(ctx, kv, one[0]); err != nil && ctx.Err() == nil {
			t.Logger.WarnContext(ctx, "execution of a lost runner not ended yet", slog.String(logging.ExecutionID, one[0].id.String()),
				slog.String(logging.Runner, one[0].runner), slog.Any(logging.Error, err))
			t.bereaved.put(one...)
			lifecycle.Pause(ctx, time.Second)
		}
	}
}

// rescue looks whether the life of the runner that claimed the execution goes on, and ends it as lost if not.
func (t *term) rescue(ctx context.Context, kv jetstream.KeyValue, b bereavement) error {
	e, err := kv.Get(ctx, b.runner)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey): // no runner can have such a name
		return t.lose(ctx, b)
	case err != nil:
		return fmt.Errorf("read entry of runner %s: %w", b.runner, err)
	case e.Revision() < b.revision: // read from a server that has not heard of the end yet
		return t.lose(ctx, b)
	}
	var info streams.RunnerInfo
	if err := json.Unmarshal(e.Value(), &info); err != nil {
		return fmt.Errorf("read entry of runner %s: %w", b.runner, err)
	}
	if b.at.Before(info.StartedAt) {
		return t.lose(ctx, b)
	}
	return t.do(ctx, func() { t.onHeartbeat(b.runner, info) })
}

// lose ends an attempt unless its runner, or anybody, was quicker. The loop hears of it as of any end, or of the
// next attempt where the action's policy repeats lost ones.
func (t *term) lose(ctx context.Context, b bereavement) error {
	for {
		st, err := t.facts.Last(ctx, b.action.String(), b.id.String())
		if errors.Is(err, execution.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !execution.HoldsSlot(st.Status) || st.Runner != b.runner || st.StartedAt == nil || !st.StartedAt.Equal(b.at) {
			return nil
		}
		_, err = t.facts.EndAttempt(ctx, st, lostFact(st.Fact, time.Now().UTC()))
		if errors.Is(err, execution.ErrStale) {
			continue
		}
		if err == nil {
			t.metrics.lost.Inc()
			t.Logger.WarnContext(ctx, "execution lost with its runner", slog.String(logging.ExecutionID, st.ID), slog.String(logging.Runner, b.runner))
		}
		return err
	}
}

func lostFact(f execution.Fact, now time.Time) execution.Fact {
	f.Status, f.At, f.EndedAt, f.Parameters = streams.Lost, now, &now, nil
	f.Error = &streams.Error{Class: streams.ClassRunnerLost, Message: "runner " + f.Runner + " stopped answering while it ran this"}
	return f
}
