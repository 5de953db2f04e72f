package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// roundPatience bounds one round.
const roundPatience = 2 * time.Minute

// backlogQueues is over how many queues those are spread that wait.
const backlogQueues = 1000

// measure runs all cases and prints what they gave.
func measure(ctx context.Context, dir string, o options, w io.Writer) error {
	t := newTable(o)
	err := rounds(ctx, dir, o, t, w)
	for _, n := range o.waiting {
		if err == nil {
			fmt.Fprintf(w, "%d waiting\n", n)
			err = backlog(ctx, dir, o, t, n)
		}
	}
	if err != nil {
		return err
	}
	t.print(w)
	return t.write(o.json)
}

// rounds measures the small cases in turns.
func rounds(ctx context.Context, dir string, o options, t *table, w io.Writer) (err error) {
	s, err := open(ctx, dir, o, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for round := range o.rounds {
		fmt.Fprintf(w, "round %d of %d\n", round+1, o.rounds)
		for _, queues := range o.queues {
			f, err := s.throughput(ctx, queues, 0)
			if err != nil {
				return fmt.Errorf("%d queues: %w", queues, err)
			}
			t.Flows = append(t.Flows, f)
		}
		gaps, err := s.limitOne(ctx)
		if err != nil {
			return fmt.Errorf("limit 1: %w", err)
		}
		t.Gaps = append(t.Gaps, gaps)
	}
	return nil
}

// flow is what a round of throughput gave.
type flow struct {
	Queues  int     `json:"queues"`
	Waiting int     `json:"waiting"`
	Rate    float64 `json:"executions_per_second"`
	Servers float64 `json:"servers_cpu_us_per_execution"`
	Leader  float64 `json:"scheduler_cpu_us_per_execution"`
	Load    float64 `json:"load_cpu_us_per_execution"`
}

// throughput requests executions and has them run, while others wait behind which they stand in line, and gives
// the rate from the first request to the last of as many ends.
func (s *site) throughput(ctx context.Context, queues, waiting int) (flow, error) {
	limit := max(4, s.o.runners*s.o.slots/queues)
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
	go func() { requested <- s.request(ctx, s.o.executions, queues, limit) }()
	if _, err := c.await(ctx, s.o.executions); err != nil {
		return flow{}, err
	}
	took := time.Since(began)
	after := s.usage()
	if err := errors.Join(<-requested, s.profile(), c.stop()); err != nil {
		return flow{}, err
	}
	n := float64(s.o.executions)
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
	if s.o.profiles == "" {
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
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
}

// limitOne runs a line one by one. A start is the moment at which a runner sends its claim, an end that at which
// it sends the final fact: everything in between is Attune's.
func (s *site) limitOne(ctx context.Context) (gap, error) {
	o := s.o
	o.runners, o.slots, o.facts = 1, 4, factsSingle
	if err := s.request(ctx, o.samples, 1, 1); err != nil {
		return gap{}, err
	}
	c, err := s.work(ctx, o)
	if err != nil {
		return gap{}, err
	}
	all, err := c.await(ctx, o.samples)
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
	Waiting   int     `json:"waiting"`
	Bytes     float64 `json:"scheduler_bytes_per_waiting_execution"`
	Server    float64 `json:"servers_bytes_per_waiting_execution"`
	RebuiltIn float64 `json:"rebuilt_in_s"`
	Takeover  float64 `json:"leader_killed_to_next_leading_s"`
	CPU       float64 `json:"takeover_cpu_s"` // of the servers and the next leader
}

// backlog puts many in line, kills the leader, and then has executions run with the rest still waiting.
func backlog(ctx context.Context, dir string, o options, t *table, n int) (err error) {
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
	t.Stocks = append(t.Stocks, st)
	f, err := s.throughput(ctx, backlogQueues, n)
	t.Flows = append(t.Flows, f)
	return err
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
