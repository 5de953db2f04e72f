package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/streams"
)

const (
	// action is what all executions are of.
	action = "bench.work"
	// requesters request at once, so many executions together each time.
	requesters   = 2
	requestBatch = bus.MaxBatch
	// linePatience bounds the time until a leader has read what was requested.
	linePatience = 2 * time.Minute
)

// site is a place to measure in: servers with the streams, and schedulers of which one leads.
type site struct {
	o       Options
	dir     string
	url     string
	servers []*part
	leader  *part
	standby *part
	bus     *bus.Bus
	facts   *execution.Facts
}

func open(ctx context.Context, dir string, o Options, schedulers int) (*site, error) {
	s := &site{o: o}
	var err error
	if s.dir, err = os.MkdirTemp(dir, "site-"); err != nil {
		return nil, err
	}
	if err := s.start(ctx, schedulers); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *site) start(ctx context.Context, schedulers int) (err error) {
	if s.servers, s.url, err = startServers(ctx, s.dir, s.o); err != nil {
		return err
	}
	if s.bus, err = bus.Connect(ctx, bus.Config{URL: s.url, Name: "bench", FailFast: true}); err != nil {
		return err
	}
	s.facts = execution.NewFacts(s.bus.JS)
	if err := s.ensure(ctx); err != nil {
		return err
	}
	if s.leader, err = s.schedule(ctx, "scheduler1"); err != nil {
		return err
	}
	if _, err := s.leader.await(ctx, reportLeading); err != nil {
		return err
	}
	if schedulers > 1 {
		s.standby, err = s.schedule(ctx, "scheduler2")
	}
	return err
}

// ensure makes the streams, as soon as the servers have agreed on who leads them.
func (s *site) ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		once, stop := context.WithTimeout(ctx, startPatience/4)
		err := streams.Ensure(once, s.bus.JS, streams.Options{Replicas: s.o.Servers})
		stop()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func (s *site) schedule(ctx context.Context, name string) (*part, error) {
	return start(ctx, name, s.dir, leaderCommand, leaderConfig{Name: name, URL: s.url, Profiles: s.o.Profiles})
}

func (s *site) close() error {
	if s.bus != nil {
		s.bus.Close()
	}
	var errs []error
	for _, p := range append([]*part{s.leader, s.standby}, s.servers...) {
		if p != nil {
			errs = append(errs, p.kill())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// request puts n executions in line, spread over so many queues, in batches as the rules request them.
func (s *site) request(ctx context.Context, n, queues, limit int) error {
	g, ctx := errgroup.WithContext(ctx)
	for r := range requesters {
		g.Go(func() error {
			for from := r * requestBatch; from < n; from += requesters * requestBatch {
				if err := s.requestSome(ctx, from, min(from+requestBatch, n), queues, limit); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (s *site) requestSome(ctx context.Context, from, to, queues, limit int) error {
	all := make([]execution.Request, 0, to-from)
	for i := from; i < to; i++ {
		key := ""
		if queues > 1 {
			key = strconv.Itoa(i % queues)
		}
		all = append(all, execution.Request{
			ID: execution.NewID(), Action: action, PackDigest: "d", Parameters: json.RawMessage(`{"n":1}`),
			Key: key, Limit: limit, Pool: streams.DefaultPool, By: "bench",
		})
	}
	return s.facts.RequestNew(ctx, s.bus, all)
}

// awaitLine waits until the leader knows n executions.
func (s *site) awaitLine(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, linePatience)
	defer cancel()
	question, err := json.Marshal(streams.QueueRequest{Action: action})
	if err != nil {
		return err
	}
	for {
		m, err := s.bus.Conn.RequestWithContext(ctx, streams.RPCQueueStats, question)
		if err != nil {
			return fmt.Errorf("wait for %d in line: %w", n, err)
		}
		var stats streams.QueueStats
		if err := json.Unmarshal(m.Data, &stats); err != nil {
			return err
		}
		if stats.Waiting+stats.Running >= n {
			return nil
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// crew is runners at work.
type crew struct {
	ends   chan ended
	failed <-chan struct{} // closed when one of them has failed
	stop   func() error
}

// work starts runners.
func (s *site) work(ctx context.Context, o Options) (*crew, error) {
	c := &crew{ends: make(chan ended, 1<<16)}
	ctx, cancel := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(ctx)
	c.failed = gctx.Done()
	c.stop = func() error { cancel(); return g.Wait() }
	for i := range o.Runners {
		r, err := newRunner(ctx, "runner"+strconv.Itoa(i+1), s.url, o, c.ends)
		if err != nil {
			return nil, errors.Join(err, c.stop())
		}
		g.Go(func() error { return r.run(gctx) })
	}
	return c, nil
}

// await waits for n ends.
func (c *crew) await(ctx context.Context, n int) ([]ended, error) {
	ctx, cancel := context.WithTimeout(ctx, roundPatience)
	defer cancel()
	all := make([]ended, 0, n)
	for len(all) < n {
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%d of %d executions ended: %w", len(all), n, ctx.Err()), c.stop())
		case <-c.failed:
			return nil, fmt.Errorf("%d of %d executions ended: %w", len(all), n, c.stop())
		case e := <-c.ends:
			all = append(all, e)
		}
	}
	return all, nil
}
