package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

// retryEvery is how long the runner waits before it repeats something that the bus did not answer.
const retryEvery = 250 * time.Millisecond

// errNotOurs is returned when an execution cannot be claimed: it is owned, has ended, or was never requested.
var errNotOurs = errors.New("execution is not to be claimed")

// handle takes a dispatched execution from its claim to its end.
func (r *Runner) handle(ctx context.Context, msg *nats.Msg) {
	run, err := parseRun(msg.Data)
	if err != nil {
		r.log.ErrorContext(ctx, "dispatch is not readable", slog.String("subject", msg.Subject), slog.Any(logging.Error, err))
		r.acknowledged(ctx, msg.Term())
		return
	}
	log := r.log.With(slog.String(logging.ExecutionID, run.ID), slog.String(logging.Action, run.Action), slog.Int(logging.Attempt, run.Attempt))
	failpoint.Hit(failpoint.RunnerReceived)
	started := r.spares.Starting()
	defer started()
	a, err := r.take(ctx, run, log)
	switch {
	case errors.Is(err, errNotOurs):
		log.DebugContext(ctx, "dispatch dropped", slog.Any(logging.Error, err))
		r.acknowledged(ctx, msg.Ack())
	case err != nil:
		log.WarnContext(ctx, "dispatch not claimed", slog.Any(logging.Error, err))
		r.acknowledged(ctx, msg.NakWithDelay(time.Second))
	default:
		failpoint.Hit(failpoint.RunnerClaimed)
		r.acknowledged(ctx, msg.Ack())
		failpoint.Hit(failpoint.RunnerAcked)
		a.started = started
		a.run(ctx)
	}
}

// acknowledged reports an acknowledgement that could not be sent. The message comes again, and is dropped then.
func (r *Runner) acknowledged(ctx context.Context, err error) {
	if err != nil {
		r.log.WarnContext(ctx, "dispatch not acknowledged", slog.Any(logging.Error, err))
	}
}

func parseRun(data []byte) (run streams.Run, err error) {
	err = json.Unmarshal(data, &run)
	return run, streams.CheckParsed("dispatch", run.Version, err)
}

// take reads the execution and claims it. What the process needs is prepared while the claim is under way, and may
// take longer: a pack may have to be built first. The dispatch need not live that long, since the claim counts. Where it
// can, the process is started as well, up to its first instruction, and ends there when the claim is refused.
func (r *Runner) take(ctx context.Context, run streams.Run, log *slog.Logger) (*attempt, error) {
	held := r.currentTenure()
	if held.over() {
		return nil, fmt.Errorf("execution %s: %w", run.ID, errGivenUp)
	}
	st, err := r.dispatched(ctx, run)
	if errors.Is(err, execution.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", errNotOurs, err)
	}
	if err != nil {
		return nil, err
	}
	if st.Status != streams.Requested || st.Attempt != run.Attempt {
		return nil, fmt.Errorf("execution %s is %s, attempt %d: %w", run.ID, st.Status, st.Attempt, errNotOurs)
	}
	a := &attempt{r: r, log: log, requested: st, tenure: held}
	a.begin(ctx)
	if a.state, err = r.claim(ctx, st); err != nil {
		a.abandon()
		a.clear(ctx)
		return nil, err
	}
	return a, nil
}

// factPatience bounds the wait for a fact that is stored later than the queue message, with which it was published. It is
// much shorter than what the scheduler waits before it looks after an execution that nobody claimed.
const factPatience = 500 * time.Millisecond

// dispatched reads a dispatched execution.
func (r *Runner) dispatched(ctx context.Context, run streams.Run) (execution.State, error) {
	st, err := r.facts.Last(ctx, run.Action, run.ID)
	for pause := time.Millisecond; errors.Is(err, execution.ErrNotFound) && pause < factPatience/2; pause *= 2 {
		lifecycle.Pause(ctx, pause)
		st, err = r.facts.Last(ctx, run.Action, run.ID)
	}
	return st, err
}

// claim makes the execution this runner's, or returns errNotOurs when somebody else was first. When the bus
// does not answer it finds out whether the claim had arrived.
func (r *Runner) claim(ctx context.Context, st execution.State) (execution.State, error) {
	f := r.claimFact(st.Fact)
	for {
		seq, err := r.facts.Append(ctx, st, f)
		if err == nil {
			return execution.State{Fact: f, Sequence: seq}, nil
		}
		last, lastErr := r.facts.Last(ctx, f.Action, f.ID)
		switch {
		case lastErr == nil && isFact(last.Fact, f):
			return last, nil
		case lastErr == nil && last.Sequence != st.Sequence, errors.Is(lastErr, execution.ErrNotFound):
			return execution.State{}, fmt.Errorf("execution %s: %w: %w", f.ID, errNotOurs, err)
		}
		if lifecycle.Pause(ctx, retryEvery); ctx.Err() != nil {
			return execution.State{}, fmt.Errorf("claim execution %s: %w", f.ID, context.Cause(ctx))
		}
	}
}

func (r *Runner) claimFact(f execution.Fact) execution.Fact {
	f.At = now()
	at := f.At
	f.Status, f.Runner, f.StartedAt, f.Parameters, f.NotBefore = streams.Running, r.place.name, &at, nil, nil
	return f
}

// isFact tells whether two facts are one: what this runner published, read back.
func isFact(a, b execution.Fact) bool {
	return a.Runner == b.Runner && a.Attempt == b.Attempt && a.Status == b.Status && a.At.Equal(b.At)
}

// now is the time of a fact: UTC, and without the part that others would drop.
func now() time.Time { return time.Now().UTC().Round(time.Microsecond) }
