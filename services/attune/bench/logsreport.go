package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// outputRound is what one round gave.
type outputRound struct {
	FloodShare   float64 `json:"flood_share_of_bare"`
	FloodSeconds float64 `json:"flood_seconds"`
	BareSeconds  float64 `json:"bare_pipe_seconds"`
	GrowthMB     float64 `json:"runner_growth_mib"`

	KeptMBs   float64 `json:"kept_mb_per_second"`
	MaskedMBs float64 `json:"masked_mb_per_second"`

	LineShare       float64 `json:"line_share_of_silent"`
	LineMs          float64 `json:"line_ms_per_execution"`
	SilentMs        float64 `json:"silent_ms_per_execution"`
	LineObjectBytes float64 `json:"line_object_bytes"`
	LineLiveBytes   float64 `json:"line_live_bytes"`

	OneP50  float64 `json:"one_follower_p50_ms"`
	OneP99  float64 `json:"one_follower_p99_ms"`
	OneCPU  float64 `json:"one_follower_cpu_percent"`
	ManyP50 float64 `json:"followers_p50_ms"`
	ManyP99 float64 `json:"followers_p99_ms"`
	ManyCPU float64 `json:"followers_cpu_percent"`
}

// outputReport is all rounds with the machine that they ran on.
type outputReport struct {
	CPUs       int           `json:"cpus"`
	Go         string        `json:"go"`
	Platform   string        `json:"platform"`
	FloodMiB   int           `json:"flood_mib"`
	KeepMiB    int           `json:"keep_mib"`
	Executions int           `json:"executions"`
	Followers  int           `json:"followers"`
	Rounds     []outputRound `json:"rounds"`
	Median     outputRound   `json:"median"`
}

func newOutputReport(o outputOptions) *outputReport {
	return &outputReport{
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		FloodMiB: o.flood, KeepMiB: o.keep, Executions: o.executions, Followers: o.followers,
	}
}

// outputFigures are the figures in the order in which they are printed: ratios first.
var outputFigures = []struct {
	name, format string
	of           func(*outputRound) *float64
}{
	{"over the limit: time, of a bare pipe's", "%.2f", func(r *outputRound) *float64 { return &r.FloodShare }},
	{"a line: time, of no output's", "%.2f", func(r *outputRound) *float64 { return &r.LineShare }},
	{"over the limit: runner's growth, MiB", "%.1f", func(r *outputRound) *float64 { return &r.GrowthMB }},
	{"over the limit, s", "%.2f", func(r *outputRound) *float64 { return &r.FloodSeconds }},
	{"bare pipe, s", "%.2f", func(r *outputRound) *float64 { return &r.BareSeconds }},
	{"kept in full, MB/s", "%.0f", func(r *outputRound) *float64 { return &r.KeptMBs }},
	{"kept in full, 20 secrets, MB/s", "%.0f", func(r *outputRound) *float64 { return &r.MaskedMBs }},
	{"a line, ms for each execution", "%.2f", func(r *outputRound) *float64 { return &r.LineMs }},
	{"no output, ms for each execution", "%.2f", func(r *outputRound) *float64 { return &r.SilentMs }},
	{"a line, bytes in the object store", "%.0f", func(r *outputRound) *float64 { return &r.LineObjectBytes }},
	{"a line, bytes in LOGS", "%.0f", func(r *outputRound) *float64 { return &r.LineLiveBytes }},
	{"one follower: p50 ms", "%.2f", func(r *outputRound) *float64 { return &r.OneP50 }},
	{"one follower: p99 ms", "%.2f", func(r *outputRound) *float64 { return &r.OneP99 }},
	{"one follower: % of a processor", "%.1f", func(r *outputRound) *float64 { return &r.OneCPU }},
	{"all followers: p50 ms", "%.2f", func(r *outputRound) *float64 { return &r.ManyP50 }},
	{"all followers: p99 ms", "%.2f", func(r *outputRound) *float64 { return &r.ManyP99 }},
	{"all followers: % of a processor", "%.1f", func(r *outputRound) *float64 { return &r.ManyCPU }},
}

func (r *outputReport) add(x outputRound) {
	r.Rounds = append(r.Rounds, x)
	for _, f := range outputFigures {
		var values []float64
		for i := range r.Rounds {
			values = append(values, *f.of(&r.Rounds[i]))
		}
		slices.Sort(values)
		*f.of(&r.Median) = values[len(values)/2]
	}
}

func (r *outputReport) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d processors, %s, %s; %d MiB over a limit of 20, %d MiB kept, %d executions of a line, %d followers\n\n",
		r.CPUs, r.Platform, r.Go, r.FloodMiB, r.KeepMiB, r.Executions, r.Followers)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tmedian\trounds")
	for _, f := range outputFigures {
		fmt.Fprintf(t, "%s\t"+f.format+"\t", f.name, *f.of(&r.Median))
		for i := range r.Rounds {
			fmt.Fprintf(t, f.format+" ", *f.of(&r.Rounds[i]))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // a terminal that has gone is no fault of the measurement
}

// Lines of /proc/PID/status.
const (
	residentNow = "VmRSS:"
	peakMemory  = "VmHWM:"
)

// restingMemory gives the memory of a process, and has its peak begin anew.
func restingMemory(pid int) (int64, error) {
	if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "clear_refs"), []byte("5"), 0); err != nil {
		return 0, err
	}
	return memory(pid, residentNow)
}

func memory(pid int, what string) (int64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "\n"+what)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d does not say its %s", pid, what)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}
