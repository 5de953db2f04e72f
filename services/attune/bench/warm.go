package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/services/attune/bench/beacon"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/streams"
)

// warmPack is the pack of the measurement of warm spares.
const warmPack = "spares"

// functions are actions that say when their first line ran, and whether their process had waited for it.
var functions = map[string]struct{ file, text string }{
	"python": {"say.py", "import os, time\nloaded = os.environ[\"ATTUNE_EXECUTION_ID\"]\ndef run(execution):\n    at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)\n    return {\"at\": str(at), \"warm\": loaded != execution[\"id\"]}\n"},
	"node": {"say.mjs", "const loaded = process.env.ATTUNE_EXECUTION_ID;\nexport function run(_, { execution }) {\n  const at = process.hrtime.bigint();\n" +
		"  return { at: String(at), warm: loaded !== execution.id };\n}\n"},
}

// function is one of them, with processes that wait for it or without.
type function struct {
	action string
	name   string
	warm   bool
	run    []time.Duration // from the dispatch of each, in this round
	claim  []time.Duration // from its claim
	missed int             // for which none was waiting
}

// said is what it returns.
type said struct {
	At   time.Duration `json:"at,string"` // as beacon.Now has it
	Warm bool          `json:"warm"`
}

// warmMode measures the starts of functions, with processes that wait for them and without, in turn.
func warmMode(f *flag.FlagSet) measure {
	samples := f.Int("samples", 60, "executions of each kind in each round")
	rest := f.Duration("rest", 100*time.Millisecond, "pause between executions")
	return func(ctx context.Context, s *session) (err error) {
		in, err := s.start(ctx, "attune")
		if err != nil {
			return err
		}
		defer func() { err = keep(err, in.stop()) }()
		all, err := in.installFunctions(ctx, filepath.Join(s.dir, "functions"))
		if err != nil {
			return err
		}
		w := &dispatches{dispatched: map[string]time.Duration{}, facts: make(chan execution.Fact, 1024)}
		if err := w.follow(in.bus.Conn); err != nil {
			return err
		}
		if err := in.call(ctx, w, all, 5, *rest); err != nil { // connections, caches
			return err
		}
		return s.each(func(int) error {
			for _, f := range all {
				f.run, f.claim, f.missed = nil, nil, 0
			}
			if err := in.call(ctx, w, all, *samples, *rest); err != nil {
				return err
			}
			addFunctions(s.run, all)
			return nil
		})
	}
}

// installFunctions installs each function twice: with two processes that wait, and with none.
func (in *instance) installFunctions(ctx context.Context, folder string) (all []*function, err error) {
	files := map[string]string{"pack.yaml": "name: " + warmPack + "\nversion: 1.0.0\ndescription: Functions that say when they run.\n"}
	for runtime, f := range functions {
		files["actions/"+f.file] = f.text
		for _, warm := range []int{0, 2} {
			name := fmt.Sprintf("%s%d", runtime, warm)
			files["actions/"+name+".yaml"] = fmt.Sprintf("description: Says when it runs.\nruntime: %s\nentry_point: %s:run\nwarm: %d\n", runtime, f.file, warm)
			label := strings.ToUpper(runtime[:1]) + runtime[1:] + map[bool]string{true: ", warm", false: ", cold"}[warm > 0]
			all = append(all, &function{action: warmPack + "." + name, name: label, warm: warm > 0})
		}
	}
	if err := writeFiles(folder, files); err != nil {
		return nil, err
	}
	return all, in.installFolder(ctx, folder)
}

// dispatches hears when executions are handed out, and what becomes of them.
type dispatches struct {
	facts chan execution.Fact

	mu         sync.Mutex
	dispatched map[string]time.Duration
}

func (d *dispatches) follow(conn *nats.Conn) error {
	_, err := conn.Subscribe(streams.AllRuns, func(m *nats.Msg) {
		now := beacon.Now()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.dispatched[m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]] = now
	})
	if err == nil {
		_, err = conn.Subscribe(streams.AllExecutions, func(m *nats.Msg) {
			if f, err := execution.ParseFact(m.Data); err == nil && execution.Final(f.Status) {
				d.facts <- f
			}
		})
	}
	if err != nil {
		return err
	}
	return conn.Flush()
}

// call runs each of the functions so often, one after the other.
func (in *instance) call(ctx context.Context, d *dispatches, all []*function, samples int, rest time.Duration) error {
	for range samples {
		for _, f := range all {
			accepted, err := in.api.Run(ctx, api.ExecutionRequest{Action: f.action}, uuid.NewString())
			if err != nil {
				return err
			}
			if err := d.await(ctx, f, accepted.ID); err != nil {
				return fmt.Errorf("%s: %w", f.action, err)
			}
			if err := doNothing(ctx, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dispatches) await(ctx context.Context, f *function, id string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, beaconPatience, errors.New("it does not end"))
	defer cancel()
	for {
		select {
		case fact := <-d.facts:
			if fact.ID == id {
				return d.add(f, fact)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (d *dispatches) add(f *function, fact execution.Fact) error {
	var s said
	if err := json.Unmarshal(fact.Result, &s); err != nil || fact.StartedAt == nil {
		return fmt.Errorf("ended as %s, %+v: %w", fact.Status, fact.Error, err)
	}
	d.mu.Lock()
	dispatched := d.dispatched[fact.ID]
	delete(d.dispatched, fact.ID)
	d.mu.Unlock()
	f.run = append(f.run, s.At-dispatched)
	f.claim = append(f.claim, time.Since(*fact.StartedAt)-(beacon.Now()-s.At))
	if s.Warm != f.warm {
		f.missed++
	}
	return nil
}

func addFunctions(run *figure.Run, all []*function) {
	for _, f := range all {
		p50 := figure.Quantile(f.run, 0.50)
		for _, cold := range all {
			if f.warm && !cold.warm && cold.name[:4] == f.name[:4] {
				run.Ratio(f.name+", p50", cold.name, p50, figure.Quantile(cold.run, 0.50), "")
			}
		}
		run.Add(figure.Figure{Name: f.name + ", from admission to first line, p50", Unit: "ms"}, p50)
		run.Add(figure.Figure{Name: f.name + ", from admission to first line, p99", Unit: "ms"}, figure.Quantile(f.run, 0.99))
		run.Add(figure.Figure{Name: f.name + ", from claim to first line, p50", Unit: "ms"}, figure.Quantile(f.claim, 0.50))
		if f.warm {
			run.Add(figure.Figure{Name: f.name + ", executions without a waiting process", Unit: "%"}, 100*float64(f.missed)/float64(len(f.run)))
		}
	}
}
