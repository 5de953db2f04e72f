package scale

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/attune/attune/services/attune/bench/figure"
)

// settings says what differs from an installation's defaults.
func (o Options) settings() string {
	var all []string
	if o.Sync != syncAlways {
		all = append(all, "ATTUNE_SYNC="+o.Sync)
	}
	if o.Servers > 1 {
		all = append(all, fmt.Sprintf("ATTUNE_REPLICAS=%d", o.Servers))
	}
	return strings.Join(all, " ")
}

// add adds a round of throughput to the figures.
func (f flow) add(run *figure.Run, o Options) {
	name := plural(f.Queues)
	if f.Waiting > 0 {
		name += ", " + figure.Count(f.Waiting) + " waiting"
	}
	for _, x := range []struct {
		name, unit string
		value      float64
	}{
		{"executions", "/s", f.Rate},
		{"CPU allows", "/s", f.allowed(runtime.NumCPU())},
		{"CPU per execution: servers", "µs", f.Servers},
		{"CPU per execution: scheduler", "µs", f.Leader},
		{"CPU per execution: runners and requesters", "µs", f.Load},
	} {
		run.Add(figure.Figure{Name: name + ": " + x.name, Unit: x.unit, Settings: o.settings()}, x.value)
	}
}

func plural(queues int) string {
	if queues == 1 {
		return "1 queue"
	}
	return figure.Count(queues) + " queues"
}

// allowed is the rate at which the processors would be used up, if nobody else wanted them and nothing waited for
// the disk: what to compare when other work runs on the machine.
func (f flow) allowed(cpus int) float64 {
	return float64(cpus) * 1e6 / max(f.Servers+f.Leader+f.Load, 1)
}

// add adds a round of the queue at limit 1.
func (g gap) add(run *figure.Run, o Options) {
	run.Add(figure.Figure{Name: "limit 1: end to next start, p50", Unit: "µs", Settings: o.settings()}, g.P50)
	run.Add(figure.Figure{Name: "limit 1: end to next start, p99", Unit: "µs", Settings: o.settings()}, g.P99)
}

// add adds what a long line gave.
func (s stock) add(run *figure.Run, o Options) {
	name := figure.Count(s.Waiting) + " waiting: "
	for _, x := range []struct {
		name, unit string
		value      float64
	}{
		{"rebuilt in", "s", s.RebuiltIn},
		{"processor time of that", "s", s.CPU},
		{"leader killed to next leading", "s", s.Takeover},
		{"scheduler's memory, each", "bytes", s.Bytes},
		{"servers' memory, each", "bytes", s.Server},
	} {
		run.Add(figure.Figure{Name: name + x.name, Unit: x.unit, Settings: o.settings()}, x.value)
	}
}
