package execution

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/attune/attune/streams"
)

// EndAttempt publishes the end of an attempt: the final fact, or, where the action's policy repeats such an end,
// the request of the next attempt, which says how this one ended. Both are one compare-and-set, so there is no
// moment at which an execution that will go on looks as if it had ended. It returns the state after it, ErrStale
// when somebody else was first, and ErrTransition when the table refuses the end.
func (f *Facts) EndAttempt(ctx context.Context, from State, end Fact) (State, error) {
	to, again := nextAttempt(from.Status, end, rand.Float64())
	if again {
		first, err := f.First(ctx, end.Action, end.ID)
		if err != nil {
			return State{}, err
		}
		to.Parameters = first.Parameters
	}
	seq, err := f.Append(ctx, from, to)
	return State{Fact: to, Sequence: seq}, err
}

// IsEndOf tells whether a fact is what EndAttempt made of an end: it had been published, and the answer was lost.
func IsEndOf(fact, end Fact) bool {
	if fact.Attempt == end.Attempt {
		return fact.Status == end.Status && fact.Runner == end.Runner && fact.At.Equal(end.At)
	}
	if fact.Attempt != end.Attempt+1 || len(fact.Previous) == 0 {
		return false
	}
	last := fact.Previous[len(fact.Previous)-1]
	return last.Status == end.Status && last.Runner == end.Runner && last.EndedAt != nil && end.EndedAt != nil && last.EndedAt.Equal(*end.EndedAt)
}

// Repeats tells whether the action's policy has an attempt that ends so followed by another, unless somebody cancels
// it.
func Repeats(f Fact, end Status) bool {
	return f.Retry != nil && f.Attempt < f.Retry.Attempts && slices.Contains(f.Retry.On, end)
}

// nextAttempt gives the request of the attempt that follows an end by the action's policy, without parameters.
// An execution that somebody is canceling is not repeated. Chance is from 0 to 1.
func nextAttempt(was Status, end Fact, chance float64) (Fact, bool) {
	if was != streams.Running || !Repeats(end, end.Status) {
		return end, false
	}
	next := end
	at := end.At.Add(retryDelay(*end.Retry, end.Attempt, chance)).Round(time.Microsecond)
	next.Status, next.Attempt, next.NotBefore = streams.Requested, end.Attempt+1, &at
	next.Runner, next.StartedAt, next.EndedAt, next.ExitCode, next.Signal = "", nil, nil, nil, ""
	next.Result, next.Error, next.Output, next.By = nil, nil, nil, ""
	next.Previous = append(slices.Clone(end.Previous), streams.Attempt{
		Attempt: end.Attempt, Status: end.Status, Runner: end.Runner, StartedAt: end.StartedAt, EndedAt: end.EndedAt,
		ExitCode: end.ExitCode, Error: end.Error,
	})
	next.Previous = next.Previous[max(len(next.Previous)-streams.MaxPrevious, 0):]
	return next, true
}

// maxRetryDelay bounds every delay, so that a growing one stays a time.
const maxRetryDelay = 30 * 24 * time.Hour

// retryDelay is how long after the end of an attempt the next one may start.
func retryDelay(p streams.Retry, attempt int, chance float64) time.Duration {
	seconds := p.DelaySeconds * math.Pow(max(p.Backoff, 1), float64(attempt-1))
	if p.MaxDelaySeconds > 0 {
		seconds = min(seconds, p.MaxDelaySeconds)
	}
	seconds *= 1 + p.Jitter*(2*chance-1)
	return time.Duration(min(seconds, maxRetryDelay.Seconds()) * float64(time.Second))
}
