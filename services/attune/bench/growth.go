package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/attune/attune/services/attune/bench/figure"
)

// growth is the measurement of what an execution costs when there are many of them, and many queues.
type growth struct {
	*session
	executions     int
	stored, queues []int
	really         bool
	big, small     *instance // the one that grows, and one that is measured beside it
}

// growthMode measures cost by the number of stored executions and of queues.
func growthMode(f *flag.FlagSet) measure {
	g := &growth{}
	f.IntVar(&g.executions, "executions", 2000, "executions of each burst; at least one for each queue")
	stored := f.String("stored", "1000,10000,100000,1000000", "numbers of stored executions, ascending")
	queues := f.String("queues", "10,100,1000,5000", "numbers of queues, ascending")
	f.BoolVar(&g.really, "really", false, "run every execution that is stored, instead of copying rows of the database")
	return func(ctx context.Context, s *session) (err error) {
		g.session = s
		if g.stored, err = numbers(*stored); err != nil {
			return err
		}
		if g.queues, err = numbers(*queues); err != nil {
			return err
		}
		defer func() { err = keep(err, g.stop()) }()
		if err := g.open(ctx); err != nil {
			return err
		}
		if err := s.each(func(int) error { return g.byQueues(ctx) }); err != nil {
			return err
		}
		return g.byStored(ctx)
	}
}

func (g *growth) open(ctx context.Context) (err error) {
	if g.big, err = g.start(ctx, "big"); err != nil {
		return err
	}
	if g.small, err = g.start(ctx, "small"); err != nil {
		return err
	}
	return keep(g.big.warmUp(ctx), g.small.warmUp(ctx))
}

func (g *growth) stop() (err error) {
	for _, in := range []*instance{g.big, g.small} {
		if in != nil {
			err = keep(err, in.stop())
		}
	}
	return err
}

// byQueues runs as many executions over each number of queues.
func (g *growth) byQueues(ctx context.Context) error {
	subject, err := eventSubjects([]string{triggerKeyed})
	if err != nil {
		return err
	}
	var least float64
	for _, queues := range g.queues {
		n := max(g.executions, queues)
		got, err := g.small.publishBurst(ctx, n, func(i int) (string, []byte) {
			return subject[0], fmt.Appendf(nil, `{"key":"host%d"}`, i%queues)
		})
		if err != nil {
			return fmt.Errorf("%d queues: %w", queues, err)
		}
		if queues == g.queues[0] {
			least = cost(n, got)
		}
		g.add(step{"queues", queues, "that with " + figure.Count(g.queues[0]), least}, n, got)
	}
	return nil
}

// byStored runs executions with more and more stored ones, and as many on an installation with few.
func (g *growth) byStored(ctx context.Context) error {
	for _, want := range g.stored {
		g.say("with %d executions stored", want)
		if err := g.fill(ctx, want); err != nil {
			return err
		}
		for range g.rounds {
			few, err := g.small.burst(ctx, g.executions, triggerNoop)
			if err != nil {
				return err
			}
			got, err := g.big.burst(ctx, g.executions, triggerNoop)
			if err != nil {
				return err
			}
			g.add(step{"executions stored", want, "that with few at the same time", cost(g.executions, few)}, g.executions, got)
		}
	}
	g.note()
	return nil
}

// fill stores executions. Some are run in any case: others are made after them.
func (g *growth) fill(ctx context.Context, want int) error {
	run := want
	if !g.really {
		run = min(models, (want+1)/2)
	}
	have, err := g.big.history.stored(ctx)
	for err == nil && have < run {
		if _, err = g.big.burst(ctx, min(g.executions, run-have), triggerNoop); err == nil {
			have, err = g.big.history.stored(ctx)
		}
	}
	if err != nil || g.really {
		return err
	}
	return g.big.history.fill(ctx, want, g.say)
}

func (g *growth) note() {
	if g.really {
		g.run.Note("Every stored execution was run.")
		return
	}
	g.run.Note("Stored executions beyond those of the bursts are copies of rows of such, with their events and decisions, in PostgreSQL. " +
		"Of them nothing is on the streams, as of old executions but for their events and decisions, which the streams keep for a week. " +
		"`-really` runs every one of them instead.")
}

// step is a place on an axis, and what an execution costs where there are few.
type step struct {
	axis string
	at   int
	of   string
	few  float64
}

// cost is the processor time of an execution outside of its own program, in microseconds.
func cost(n int, o outcome) float64 { return per(o.cost.services+o.cost.database, n) }

func (g *growth) add(s step, n int, got outcome) {
	name := figure.Count(s.at) + " " + s.axis
	g.run.Ratio(name+": processor time of each", s.of, cost(n, got), s.few, "")
	g.run.Add(figure.Figure{Name: name + ": processor time of each, services", Unit: "µs"}, per(got.cost.services, n))
	g.run.Add(figure.Figure{Name: name + ": processor time of each, PostgreSQL", Unit: "µs"}, per(got.cost.database, n))
	g.run.Add(figure.Figure{Name: name + ": executions", Unit: "/s"}, got.rate)
	plot := figure.Plot{
		Name: "by-" + strings.ReplaceAll(s.axis, " ", "-"), Title: "What an execution costs, by the number of " + s.axis,
		X: s.axis, Y: "µs for each execution", LogX: true,
	}
	x := float64(s.at)
	g.run.Point(plot, "wall time in a burst", x, 1e6/got.rate)
	g.run.Point(plot, "processor time, services and PostgreSQL", x, cost(n, got))
	g.run.Point(plot, "processor time, PostgreSQL", x, per(got.cost.database, n))
	g.run.Point(plot, "processor time, services and PostgreSQL: "+s.of, x, s.few)
}
