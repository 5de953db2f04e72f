package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/attune/bench/beacon"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/streams"
)

// restBetween is the pause between samples: the system is idle when each comes.
const restBetween = 25 * time.Millisecond

// beaconPatience bounds the wait for one program to say that it runs.
const beaconPatience = 30 * time.Second

// Plots that compare all ways.
var (
	halfPlot = figure.Plot{Name: "latency-p50", Title: "Until the first instruction of a static program, one at a time: p50", Y: "ms"}
	mostPlot = figure.Plot{Name: "latency-p99", Title: "Until the first instruction of a static program, one at a time: p99", Y: "ms"}
)

// way is one way in which a program is started.
type way struct {
	name string
	of   bool // it is bare: others are measured against it
	ask  func(context.Context) error
	took []time.Duration // of this round
	cost time.Duration   // of this round: processor time of the services, from each event to the next
}

// latencyMode measures single starts, each way in turn.
func latencyMode(f *flag.FlagSet) measure {
	samples := f.Int("samples", 200, "samples of each way in each round")
	return func(ctx context.Context, s *session) (err error) {
		in, err := s.start(ctx, "attune")
		if err != nil {
			return err
		}
		defer func() { err = keep(err, in.stop()) }()
		bare, err := startBareBus(ctx, in.dir, "always")
		if err != nil {
			return err
		}
		defer func() { err = keep(err, bare.stop()) }()
		stop, err := bare.follow(in.tiny)
		if err != nil {
			return err
		}
		defer stop()
		ways := in.ways(bare)
		if err := in.inTurn(ctx, ways, 5); err != nil { // the first start of a pack, connections, caches
			return err
		}
		return s.each(func(int) error {
			forget(ways)
			if err := in.inTurn(ctx, ways, *samples); err != nil {
				return err
			}
			addWays(s.run, ways)
			return nil
		})
	}
}

// ways are all ways to start the program that sends a beacon.
func (in *instance) ways(bare *bareBus) []*way {
	return []*way{
		{name: "bare fork and exec", of: true, ask: func(context.Context) error { return exec.Command(in.tiny).Run() }},
		{name: "bare JetStream loop", of: true, ask: bare.ask},
		{name: "event over NATS", ask: in.publish},
		{name: "event by webhook", ask: in.deliver},
		{name: "event by POST /events", ask: in.post},
		{name: "POST /executions", ask: in.request},
	}
}

func (in *instance) publish(context.Context) error {
	subject, err := streams.EventSubject(packName, triggerTiny)
	if err != nil {
		return err
	}
	if err := in.bus.Conn.Publish(subject, []byte(`{"host":"web1"}`)); err != nil {
		return err
	}
	return in.bus.Conn.Flush()
}

// deliver sends a webhook as a sender that keeps its connection.
func (in *instance) deliver(ctx context.Context) error {
	url := in.api.URL() + "/api/v1/webhooks/" + packName + "/" + triggerHook
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"host":"web1"}`))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", uuid.NewString()) // a body alone is one delivery for two minutes
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode == http.StatusAccepted {
		return err
	}
	return fmt.Errorf("a webhook was answered with %s", answer.Status)
}

func (in *instance) post(ctx context.Context) error {
	_, err := in.api.Publish(ctx, api.EventRequest{Trigger: packName + "." + triggerTiny, Payload: json.RawMessage(`{"host":"web1"}`)})
	return err
}

func (in *instance) request(ctx context.Context) error {
	_, err := in.api.Run(ctx, api.ExecutionRequest{Action: packName + ".mark"}, uuid.NewString())
	return err
}

func forget(ways []*way) {
	for _, w := range ways {
		w.took, w.cost = nil, 0
	}
}

// inTurn takes samples of all ways, one after the other, with a rest after each.
func (in *instance) inTurn(ctx context.Context, ways []*way, samples int) error {
	for range samples {
		for _, w := range ways {
			in.beacons.Drain()
			before := processorTime(in.process.Process.Pid)
			asked := beacon.Now()
			if err := w.ask(ctx); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			at, err := in.awaitBeacon(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.took = append(w.took, at-asked)
			if err := doNothing(ctx, restBetween); err != nil {
				return err
			}
			w.cost += processorTime(in.process.Process.Pid) - before
		}
	}
	return nil
}

func (in *instance) awaitBeacon(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, beaconPatience, errors.New("the program does not say that it runs"))
	defer cancel()
	select {
	case b := <-in.beacons.Beacons:
		return b.At, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func addWays(run *figure.Run, ways []*way) {
	for _, w := range ways {
		p50, p99 := figure.Quantile(w.took, 0.50), figure.Quantile(w.took, 0.99)
		for _, bare := range ways {
			if bare.of && !w.of {
				run.Ratio(w.name+", p50", bare.name, p50, figure.Quantile(bare.took, 0.50), "")
				run.Ratio(w.name+", p99", bare.name, p99, figure.Quantile(bare.took, 0.99), "")
			}
		}
		run.Bar(halfPlot, w.name, p50)
		run.Bar(mostPlot, w.name, p99)
		run.Add(figure.Figure{Name: w.name + " to first instruction, p50", Unit: "ms"}, p50)
		run.Add(figure.Figure{Name: w.name + " to first instruction, p99", Unit: "ms"}, p99)
		if !w.of {
			run.Add(figure.Figure{Name: w.name + ": processor time of each, services", Unit: "µs"}, per(w.cost, len(w.took)))
		}
	}
}
