package main

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/attune/attune/services/attune/bench/figure"
)

// outputRound is what one round gave.
type outputRound struct {
	FloodSeconds, BareSeconds float64
	GrowthMB                  float64 // of the runner
	KeptMBs, MaskedMBs        float64

	LineMs, SilentMs               float64 // for each execution
	LineObjectBytes, LineLiveBytes float64

	OneP50, OneP99, OneCPU    float64
	ManyP50, ManyP99, ManyCPU float64
}

// add adds the round to the figures.
func (r *outputRound) add(run *figure.Run) {
	run.Ratio("output far over the limit: time", "a bare pipe's", r.FloodSeconds, r.BareSeconds, "")
	run.Ratio("a line of output: time", "no output's", r.LineMs, r.SilentMs, "")
	for _, f := range []struct {
		name, unit string
		value      float64
	}{
		{"over the limit: growth of the runner's memory", "MiB", r.GrowthMB},
		{"over the limit", "s", r.FloodSeconds},
		{"bare pipe", "s", r.BareSeconds},
		{"kept in full", "MB/s", r.KeptMBs},
		{"kept in full with 20 secrets to mask", "MB/s", r.MaskedMBs},
		{"a line, each execution", "ms", r.LineMs},
		{"no output, each execution", "ms", r.SilentMs},
		{"a line, in the object store", "bytes", r.LineObjectBytes},
		{"a line, in LOGS", "bytes", r.LineLiveBytes},
		{"one follower: from writing a line to receiving it, p50", "ms", r.OneP50},
		{"one follower: p99", "ms", r.OneP99},
		{"one follower: all services, of a processor", "%", r.OneCPU},
		{"all followers: p50", "ms", r.ManyP50},
		{"all followers: p99", "ms", r.ManyP99},
		{"all followers: all services, of a processor", "%", r.ManyCPU},
	} {
		run.Add(figure.Figure{Name: f.name, Unit: f.unit}, f.value)
	}
}

// restingMemory gives the memory of a process, and has its peak begin anew.
func restingMemory(pid int) (int64, error) {
	if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "clear_refs"), []byte("5"), 0); err != nil {
		return 0, err
	}
	return memory(pid, residentNow)
}
