package main

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/streams"
)

// throughputPatience bounds a round, perExecution more so where it is a long one.
const (
	throughputPatience = 2 * time.Minute
	perExecution       = 200 * time.Millisecond
)

// throughputMode compares with the bare loop.
func throughputMode(f *flag.FlagSet) measure {
	n := f.Int("executions", 2000, "executions in each round")
	return func(ctx context.Context, s *session) (err error) {
		in, err := s.start(ctx, "attune")
		if err != nil {
			return err
		}
		defer func() { err = keep(err, in.stop()) }()
		return s.each(func(int) error {
			bare, err := forkExec(ctx, in.noop, *n)
			if err != nil {
				return err
			}
			rate, err := in.throughput(ctx, *n)
			if err != nil {
				return err
			}
			s.run.Ratio("core.noop", "bare fork and exec", rate, bare, "")
			s.run.Add(figure.Figure{Name: "bare fork and exec", Unit: "/s"}, bare)
			s.run.Add(figure.Figure{Name: "core.noop, executions", Unit: "/s"}, rate)
			return nil
		})
	}
}

// forkExec starts the program n times and waits for each, as many at once as there are processors, and gives
// the rate per second.
func forkExec(ctx context.Context, program string, n int) (float64, error) {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	var started atomic.Int64
	for range runtime.NumCPU() {
		g.Go(func() error {
			for started.Add(1) <= int64(n) && ctx.Err() == nil {
				if err := exec.Command(program).Run(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("bare loop: %w", err)
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// throughput publishes n events at once and gives the rate at which their executions succeed, from the first
// event to the last end.
func (in *instance) throughput(ctx context.Context, n int) (float64, error) {
	return in.burst(ctx, "core", "noop", "tick", n)
}

// burst is throughput of an action that a trigger of the benchmark's pack leads to.
func (in *instance) burst(ctx context.Context, packOf, action, trigger string, n int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, max(throughputPatience, time.Duration(n)*perExecution))
	defer cancel()
	ends, err := streams.ExecutionsOf(packOf, action)
	if err != nil {
		return 0, err
	}
	tick, err := streams.EventSubject(packName, trigger)
	if err != nil {
		return 0, err
	}
	ended := make(chan string, n)
	sub, err := in.bus.Conn.Subscribe(ends, func(m *nats.Msg) {
		if s := streams.Status(m.Header.Get(streams.HeaderStatus)); execution.Final(s) {
			ended <- string(s)
		}
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection closes soon
	began := time.Now()
	for range n {
		if err := in.bus.Conn.Publish(tick, []byte(`{}`)); err != nil {
			return 0, err
		}
	}
	for i := range n {
		select {
		case s := <-ended:
			if s != string(streams.Succeeded) {
				return 0, fmt.Errorf("an execution of %s.%s ended as %s", packOf, action, s)
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d executions ended: %w", i, n, ctx.Err())
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
