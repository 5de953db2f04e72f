package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/failpoint"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
)

// errRefused is returned when an end is not accepted: the execution was given to somebody else, or has ended.
var errRefused = errors.New("execution is no longer this runner's")

// finish publishes the end. It is in the spool first, so that it is not lost with this process.
func (a *attempt) finish(ctx context.Context, o outcome) {
	failpoint.Hit(failpoint.RunnerExited)
	f := a.endFact(o)
	a.keep(ctx, f)
	failpoint.Hit(failpoint.RunnerSpooled)
	ctx, stop := outlive(ctx, closing)
	defer stop()
	st, err := a.r.deliver(ctx, a.state, f)
	switch {
	case errors.Is(err, errRefused):
		a.log.WarnContext(ctx, "end refused", slog.String(logging.Status, string(f.Status)), slog.Any(logging.Error, err))
	case err != nil:
		a.log.ErrorContext(ctx, "end not published, it is in the spool", slog.Any(logging.Error, err))
		return
	default:
		a.state = st
		a.log.DebugContext(ctx, "execution ended", slog.String(logging.Status, string(st.Status)))
	}
	failpoint.Hit(failpoint.RunnerEnded)
	a.unkeep(ctx)
}

func (a *attempt) keep(ctx context.Context, f execution.Fact) {
	if a.seat == nil {
		return // there is none to be had: that is what it ends of
	}
	if err := a.seat.keep(f); err != nil {
		a.log.ErrorContext(ctx, "end not spooled", slog.Any(logging.Error, err))
		return
	}
	a.kept = true
}

func (a *attempt) unkeep(ctx context.Context) {
	if !a.kept {
		return
	}
	if err := a.seat.delivered(); err != nil {
		a.log.WarnContext(ctx, "spool not cleared", slog.Any(logging.Error, err))
		return
	}
	a.kept = false
}

func (a *attempt) endFact(o outcome) execution.Fact {
	f := a.state.Fact
	f.At = now()
	at := f.At
	f.Status, f.EndedAt, f.ExitCode, f.Signal = o.status, &at, o.exitCode, o.signal
	f.Result, f.Error, f.Output = o.result, o.err, o.output
	return f
}

// deliver publishes an end after a state of this attempt, until it is accepted, refused, or ctx has ended. Where
// the action's policy says so it becomes the request of the next attempt.
func (r *Runner) deliver(ctx context.Context, after execution.State, f execution.Fact) (execution.State, error) {
	for {
		f.By = after.By
		st, err := r.facts.EndAttempt(ctx, after, f)
		if err == nil {
			return st, nil
		}
		last, lastErr := r.facts.Last(ctx, f.Action, f.ID)
		switch {
		case lastErr == nil && execution.IsEndOf(last.Fact, f):
			return last, nil // it had arrived
		case errors.Is(lastErr, execution.ErrNotFound):
			return execution.State{}, fmt.Errorf("execution %s: %w: %w", f.ID, errRefused, lastErr)
		case lastErr == nil && (last.Attempt != f.Attempt || last.Runner != f.Runner || !execution.MayFollow(last.Status, f.Status) && last.Sequence != after.Sequence):
			return execution.State{}, fmt.Errorf("execution %s is %s, attempt %d, runner %q: %w", f.ID, last.Status, last.Attempt, last.Runner, errRefused)
		case lastErr == nil && last.Sequence != after.Sequence:
			after = last // a cancel came between
			continue
		case errors.Is(err, execution.ErrTransition):
			return execution.State{}, fmt.Errorf("%w: %w", errRefused, err)
		}
		if lifecycle.Pause(ctx, retryEvery); ctx.Err() != nil {
			return execution.State{}, errors.Join(err, context.Cause(ctx))
		}
	}
}

// deliverSpool publishes the ends that a runner before this one could not, and then tells everybody that it
// has gone: what it was running besides is lost.
func (r *Runner) deliverSpool(ctx context.Context) error {
	names, err := filepath.Glob(filepath.Join(r.place.spool, "*.json"))
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	for _, file := range names {
		if err := r.deliverFile(ctx, file); err != nil {
			return err
		}
	}
	if r.place.previous != "" {
		(&heart{r: r}).remove(ctx, r.place.previous)
	}
	return r.place.clear()
}

func (r *Runner) deliverFile(ctx context.Context, file string) error {
	data, err := spooled(file)
	if err != nil {
		return err
	}
	if data == nil {
		return os.Remove(file)
	}
	f, err := execution.ParseFact(data)
	if err != nil {
		r.log.WarnContext(ctx, "spooled end is not readable", slog.String("file", file), slog.Any(logging.Error, err))
		return os.Remove(file)
	}
	log := r.log.With(slog.String(logging.ExecutionID, f.ID), slog.String(logging.Status, string(f.Status)))
	before, err := r.facts.Last(ctx, f.Action, f.ID)
	if err == nil && (before.Runner != f.Runner || before.Attempt != f.Attempt) {
		err = errRefused
	}
	if err == nil {
		_, err = r.deliver(ctx, before, f)
	}
	switch {
	case err == nil:
		log.InfoContext(ctx, "spooled end delivered")
	case errors.Is(err, errRefused), errors.Is(err, execution.ErrNotFound):
		log.WarnContext(ctx, "spooled end refused", slog.Any(logging.Error, err))
	default:
		return fmt.Errorf("deliver spooled end: %w", err)
	}
	return os.Remove(file)
}
