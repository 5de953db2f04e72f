package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/attune/attune/services/attune/bench/figure"
)

// roundPatience bounds one round.
const roundPatience = 2 * time.Minute

// backlogQueues is over how many queues those are spread that wait.
const backlogQueues = 1000

// Bench is a site that stays for all rounds, and what is measured once.
type Bench struct {
	o    Options
	dir  string
	site *site
}

// Open starts servers and a scheduler in a folder.
func Open(ctx context.Context, dir string, o Options) (*Bench, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s, err := open(ctx, dir, o, 1)
	return &Bench{o: o, dir: dir, site: s}, err
}

// Close ends them.
func (b *Bench) Close() error { return b.site.close() }

// Round measures the small cases.
func (b *Bench) Round(ctx context.Context, run *figure.Run) error {
	for _, queues := range b.o.queues {
		f, err := b.site.throughput(ctx, queues, 0)
		if err != nil {
			return fmt.Errorf("%d queues: %w", queues, err)
		}
		f.add(run, b.o)
	}
	gaps, err := b.site.limitOne(ctx)
	if err != nil {
		return fmt.Errorf("limit 1: %w", err)
	}
	gaps.add(run, b.o)
	return nil
}

// Backlogs measures the cases in which many wait, once each, on sites of their own.
func (b *Bench) Backlogs(ctx context.Context, run *figure.Run) error {
	for _, n := range b.o.waiting {
		if err := backlog(ctx, b.dir, b.o, run, n); err != nil {
			return fmt.Errorf("%d waiting: %w", n, err)
		}
	}
	return nil
}

// flow is what a round of throughput gave.
type flow struct {
	Queues  int
	Waiting int
	Rate    float64
	Servers float64
	Leader  float64
	Load    float64
}

// throughput requests executions and has them run, while others wait behind which they stand in line, and gives
// the rate from the first request to the last of as many ends.
func (s *site) throughput(ctx context.Context, queues, waiting int) (flow, error) {
	limit := max(4, s.o.Runners*s.o.Slots/queues)
	c, err := s.work(ctx, s.o)
	if err != nil {
		return flow{}, err
	}
	if err := s.profile(); err != nil {
		return flow{}, err
	}
	before := s.usage()
	began := time.Now()
	requested := make(chan error, 1)
	go func() { requested <- s.request(ctx, s.o.Executions, queues, limit) }()
	if _, err := c.await(ctx, s.o.Executions); err != nil {
		return flow{}, err
	}
	took := time.Since(began)
	after := s.usage()
	if err := errors.Join(<-requested, s.profile(), c.stop()); err != nil {
		return flow{}, err
	}
	n := float64(s.o.Executions)
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / n }
	return flow{
		Queues: queues, Waiting: waiting, Rate: n / took.Seconds(),
		Servers: per(after.servers - before.servers), Leader: per(after.leader - before.leader), Load: per(after.load - before.load),
	}, nil
}

// usage is the processor time that everybody has used.
type usage struct{ servers, leader, load time.Duration }

func (s *site) usage() (u usage) {
	for _, p := range s.servers {
		u.servers += p.cpu()
	}
	u.leader, u.load = s.leader.cpu(), cpuOf(os.Getpid())
	return u
}

// profile begins or ends the profiles of all parts.
func (s *site) profile() error {
	if s.o.Profiles == "" {
		return nil
	}
	err := s.leader.profile()
	for _, p := range s.servers {
		err = errors.Join(err, p.profile())
	}
	return err
}

// gap is the time from the end of an execution to the start of the next one of a queue at limit 1.
type gap struct {
	P50 float64
	P99 float64
}

// limitOne runs a line one by one. A start is the moment at which a runner sends its claim, an end that at which
// it sends the final fact: everything in between is Attune's.
func (s *site) limitOne(ctx context.Context) (gap, error) {
	o := s.o
	o.Runners, o.Slots, o.Facts = 1, 4, factsSingle
	if err := s.request(ctx, o.Samples, 1, 1); err != nil {
		return gap{}, err
	}
	c, err := s.work(ctx, o)
	if err != nil {
		return gap{}, err
	}
	all, err := c.await(ctx, o.Samples)
	if err != nil {
		return gap{}, err
	}
	slices.SortFunc(all, func(a, b ended) int { return a.claim.Compare(b.claim) })
	var gaps []time.Duration
	for i := range all[1:] {
		gaps = append(gaps, all[i+1].claim.Sub(all[i].over))
	}
	slices.Sort(gaps)
	return gap{P50: micros(gaps[len(gaps)/2]), P99: micros(gaps[len(gaps)*99/100])}, c.stop()
}

// stock is what a long line gave.
type stock struct {
	Waiting   int
	Bytes     float64
	Server    float64
	RebuiltIn float64
	Takeover  float64
	CPU       float64 // of the servers and the next leader
}

// backlog puts many in line, kills the leader, and then has executions run with the rest still waiting.
func backlog(ctx context.Context, dir string, o Options, run *figure.Run, n int) (err error) {
	s, err := open(ctx, dir, o, 2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	st, err := s.fill(ctx, n)
	if err != nil {
		return err
	}
	if err := s.takeOver(ctx, &st); err != nil {
		return err
	}
	st.add(run, o)
	f, err := s.throughput(ctx, backlogQueues, n)
	if err != nil {
		return err
	}
	f.add(run, o)
	return nil
}

// fill puts n in line and gives what that takes of memory.
func (s *site) fill(ctx context.Context, n int) (stock, error) {
	empty, served, err := s.heaps(ctx)
	if err != nil {
		return stock{}, err
	}
	if err := s.request(ctx, n, backlogQueues, 1); err != nil {
		return stock{}, err
	}
	if err := s.awaitLine(ctx, n); err != nil {
		return stock{}, err
	}
	full, serving, err := s.heaps(ctx)
	return stock{Waiting: n, Bytes: float64(int64(full-empty)) / float64(n), Server: float64(int64(serving-served)) / float64(n)}, err
}

// heaps gives what the leader and all servers have in use.
func (s *site) heaps(ctx context.Context) (leader, servers uint64, err error) {
	if leader, err = s.leader.heap(ctx); err != nil {
		return 0, 0, err
	}
	for _, p := range s.servers {
		n, err := p.heap(ctx)
		if err != nil {
			return 0, 0, err
		}
		servers += n
	}
	return leader, servers, nil
}

// takeOver kills the leader and waits for the next one.
func (s *site) takeOver(ctx context.Context, st *stock) error {
	began := time.Now()
	if err := s.leader.kill(); err != nil {
		return err
	}
	s.leader, s.standby = s.standby, nil
	if err := s.profile(); err != nil {
		return err
	}
	before := s.usage()
	r, err := s.leader.await(ctx, reportLeading)
	if err != nil {
		return err
	}
	after := s.usage()
	st.Takeover, st.RebuiltIn = time.Since(began).Seconds(), r.RebuiltIn.Seconds()
	st.CPU = (after.servers - before.servers + after.leader - before.leader).Seconds()
	if err := s.profile(); err != nil {
		return err
	}
	if r.Waiting+r.Running != st.Waiting {
		return fmt.Errorf("the next leader knows %d of %d", r.Waiting+r.Running, st.Waiting)
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
