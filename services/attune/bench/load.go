package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

// Patience for a burst of executions: so much, or more where it is a long one.
const (
	burstPatience = 2 * time.Minute
	perExecution  = 200 * time.Millisecond
)

// settleTick is how often the recorder is asked whether it has everything.
const settleTick = 2 * time.Millisecond

// outcome is what a burst gave.
type outcome struct {
	rate float64 // executions per second, from the first event to the last end
	lag  time.Duration
	cost usage // of all of them, until history had them
}

// burst publishes n events at once, each of the next of some triggers of the benchmark's pack, waits for the ends of
// their executions, and then for history to have all that happened.
func (in *instance) burst(ctx context.Context, n int, triggers ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, max(burstPatience, time.Duration(n)*perExecution))
	defer cancel()
	subjects, err := eventSubjects(triggers)
	if err != nil {
		return outcome{}, err
	}
	ends, stop, err := in.ends(n)
	if err != nil {
		return outcome{}, err
	}
	defer stop()
	defer in.beacons.Drain()
	before := in.usage()
	began := time.Now()
	for i := range n {
		if err := in.bus.Conn.Publish(subjects[i%len(subjects)], []byte(`{}`)); err != nil {
			return outcome{}, err
		}
	}
	if err := await(ctx, ends, n); err != nil {
		return outcome{}, err
	}
	ended := time.Now()
	if err := in.settled(ctx); err != nil {
		return outcome{}, err
	}
	return outcome{rate: float64(n) / ended.Sub(began).Seconds(), lag: time.Since(ended), cost: in.usage().minus(before)}, nil
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

// settled waits until the recorder has written everything to PostgreSQL: it acknowledges what is committed.
func (in *instance) settled(ctx context.Context) error {
	for _, stream := range []string{streams.Events, streams.Decisions, streams.Executions} {
		c, err := in.bus.JS.Consumer(ctx, stream, streams.ConsumerRecorder)
		if err != nil {
			return err
		}
		if err := drained(ctx, c); err != nil {
			return fmt.Errorf("history of %s: %w", stream, err)
		}
	}
	return nil
}

// drained waits until a consumer has nothing left.
func drained(ctx context.Context, c jetstream.Consumer) error {
	tick := time.NewTicker(settleTick)
	defer tick.Stop()
	for {
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
