package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/execution"
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
	ends, stop, err := in.ends(n)
	if err != nil {
		return outcome{}, err
	}
	defer stop()
	defer in.beacons.Drain()
	before := in.usage()
	began := time.Now()
	for i := range n {
		if err := in.bus.Conn.Publish(event(i)); err != nil {
			return outcome{}, err
		}
	}
	if err := await(ctx, ends, n); err != nil {
		return outcome{}, err
	}
	ended := time.Now()
	if err := in.recorded(ctx, endedSince, began, n); err != nil {
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

// end is how an execution ended.
type end struct {
	subject string
	status  streams.Status
}

// ends gives the ends of executions from now on, at most n.
func (in *instance) ends(n int) (<-chan end, func(), error) {
	ends := make(chan end, n)
	sub, err := in.bus.Conn.Subscribe(streams.AllExecutions, func(m *nats.Msg) {
		if s := streams.Status(m.Header.Get(streams.HeaderStatus)); execution.Final(s) {
			ends <- end{m.Subject, s}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if err := in.bus.Conn.Flush(); err != nil {
		return nil, nil, err
	}
	return ends, func() { _ = sub.Unsubscribe() }, nil // the connection closes soon
}

// await waits for n successes.
func await(ctx context.Context, ends <-chan end, n int) error {
	for i := range n {
		select {
		case e := <-ends:
			if e.status != streams.Succeeded {
				return fmt.Errorf("%s ended as %s", e.subject, e.status)
			}
		case <-ctx.Done():
			return fmt.Errorf("%d of %d executions ended: %w", i, n, ctx.Err())
		}
	}
	return nil
}

// Questions to the database: how many executions that were requested since a time have ended, and how many events that
// came since then are decided. Indexes answer them.
const (
	endedSince   = `SELECT count(*) FROM executions WHERE requested_at >= $1 AND ended_at IS NOT NULL`
	decidedSince = `SELECT count(*) FROM events WHERE received_at >= $1 AND status = 'decided'`
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
