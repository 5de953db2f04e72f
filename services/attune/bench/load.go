package main

import (
	"context"
	"fmt"
	"time"

	"github.com/attune/attune/streams"
)

// Patience for a burst of executions: so much, or more where it is a long one.
const (
	burstPatience = 2 * time.Minute
	perExecution  = 200 * time.Millisecond
)

// settleTick is how often history is asked whether it has everything; but an answer is followed by a rest of so many times
// as long as it took: over many rows it would keep a processor from what is being measured.
const (
	settleTick = 5 * time.Millisecond
	settleRest = 9
)

// outcome is what a burst gave.
type outcome struct {
	rate  float64       // executions per second, from the first event to the last end
	lag   time.Duration // from the last end until history has everything
	whole time.Duration // from the first event until then
	cost  usage         // of all of them, until history had them
}

// burst publishes n events at once, each of the next of some triggers of the benchmark's pack.
func (in *instance) burst(ctx context.Context, n int, triggers ...string) (outcome, error) {
	subjects, err := eventSubjects(triggers)
	if err != nil {
		return outcome{}, err
	}
	return in.publishBurst(ctx, n, func(i int) (string, []byte) { return subjects[i%len(subjects)], []byte(`{}`) })
}

// publishBurst publishes n events at once, waits for the ends of their executions, and then for history to have all
// that happened.
func (in *instance) publishBurst(ctx context.Context, n int, event func(i int) (subject string, payload []byte)) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, max(burstPatience, time.Duration(n)*perExecution))
	defer cancel()
	facts, err := in.facts(ctx)
	if err != nil {
		return outcome{}, err
	}
	defer in.beacons.Drain()
	before := in.usage()
	began := time.Now()
	for i := range n {
		if err := in.bus.Conn.Publish(event(i)); err != nil {
			return outcome{}, err
		}
	}
	if err := in.untilEnded(ctx, facts, n); err != nil {
		return outcome{}, err
	}
	ended := time.Now()
	if err := in.recorded(ctx, succeededSince, began, n); err != nil {
		return outcome{}, err
	}
	return outcome{
		rate: float64(n) / ended.Sub(began).Seconds(), lag: time.Since(ended), whole: time.Since(began), cost: in.usage().minus(before),
	}, nil
}

func eventSubjects(triggers []string) (all []string, err error) {
	for _, trigger := range triggers {
		subject, err := streams.EventSubject(packName, trigger)
		if err != nil {
			return nil, err
		}
		all = append(all, subject)
	}
	return all, nil
}

// factsOfOne is how many facts there are of an execution that succeeds at its first attempt: that it was requested, that
// it runs, and that it has ended.
const factsOfOne = 3

// facts is how many facts of executions there have been.
func (in *instance) facts(ctx context.Context) (int, error) {
	stream, err := in.bus.JS.Stream(ctx, streams.Executions) // asks for its state too
	if err != nil {
		return 0, fmt.Errorf("count facts: %w", err)
	}
	return int(stream.CachedInfo().State.LastSeq), nil //nolint:gosec // there are not that many
}

// Pauses between looks at how many executions have ended.
const (
	shortestLook = 2 * time.Millisecond
	longestLook  = 250 * time.Millisecond
)

// untilEnded waits until the n executions of a burst have ended, which began when there were so many facts. To be told
// of each takes from the processors that are being measured, so the facts are counted, the more often the fewer are still
// to come.
func (in *instance) untilEnded(ctx context.Context, before, n int) error {
	began := time.Now()
	for {
		now, err := in.facts(ctx)
		if err != nil {
			return err
		}
		done, all := now-before, n*factsOfOne
		if done >= all {
			return nil
		}
		half := time.Since(began) * time.Duration(all-done) / time.Duration(2*max(done, 1))
		if err := doNothing(ctx, min(max(half, shortestLook), longestLook)); err != nil {
			return fmt.Errorf("%d of %d facts: %w", done, all, err)
		}
	}
}

// Questions to the database: how many executions that were requested since a time have succeeded, and how many events that
// came since then are decided. Indexes answer them.
const (
	succeededSince = `SELECT count(*) FROM executions WHERE requested_at >= $1 AND status = 'succeeded'`
	decidedSince   = `SELECT count(*) FROM events WHERE received_at >= $1 AND status = 'decided'`
)

// recorded waits until PostgreSQL has n of what a question counts. The recorder's acknowledgements are not enough: what
// was seen on the bus may not be on its stream yet.
func (in *instance) recorded(ctx context.Context, question string, since time.Time, n int) error {
	for {
		var have int
		asked := time.Now()
		if err := in.history.db.QueryRow(ctx, question, since).Scan(&have); err != nil {
			return fmt.Errorf("look into history: %w", err)
		}
		if have >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("history has %d of %d: %w", have, n, ctx.Err())
		case <-time.After(max(settleTick, settleRest*time.Since(asked))):
		}
	}
}
