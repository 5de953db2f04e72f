package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// round is what one round gave.
type round struct {
	BareRate   float64 `json:"bare_fork_exec_per_second"`
	Rate       float64 `json:"attune_executions_per_second"`
	Share      float64 `json:"share_of_bare"`
	LatencyP50 float64 `json:"latency_p50_ms"`
	LatencyP99 float64 `json:"latency_p99_ms"`
}

// report is all rounds with the machine that they ran on.
type report struct {
	CPUs       int     `json:"cpus"`
	Go         string  `json:"go"`
	Platform   string  `json:"platform"`
	Executions int     `json:"executions_per_round"`
	Samples    int     `json:"latency_samples_per_round"`
	Rounds     []round `json:"rounds"`
	Median     round   `json:"median"`
}

func newReport(o options) *report {
	return &report{
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Executions: o.executions, Samples: o.samples,
	}
}

func (r *report) add(bare, rate float64, latencies []time.Duration) {
	slices.Sort(latencies)
	r.Rounds = append(r.Rounds, round{
		BareRate: bare, Rate: rate, Share: rate / bare,
		LatencyP50: milliseconds(quantile(latencies, 0.50)), LatencyP99: milliseconds(quantile(latencies, 0.99)),
	})
	r.Median = round{
		BareRate: r.median(func(x round) float64 { return x.BareRate }), Rate: r.median(func(x round) float64 { return x.Rate }),
		Share:      r.median(func(x round) float64 { return x.Share }),
		LatencyP50: r.median(func(x round) float64 { return x.LatencyP50 }), LatencyP99: r.median(func(x round) float64 { return x.LatencyP99 }),
	}
}

func (r *report) median(of func(round) float64) float64 {
	var values []float64
	for _, x := range r.Rounds {
		values = append(values, of(x))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d processors, %s, %s; %d rounds of %d executions and %d single events\n\n",
		r.CPUs, r.Platform, r.Go, len(r.Rounds), r.Executions, r.Samples)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "round\tfork+exec /s\tattune /s\tshare\tp50 ms\tp99 ms\t")
	for i, x := range r.Rounds {
		fmt.Fprintf(t, "%d\t%.0f\t%.0f\t%.0f %%\t%.2f\t%.2f\t\n", i+1, x.BareRate, x.Rate, 100*x.Share, x.LatencyP50, x.LatencyP99)
	}
	x := r.Median
	fmt.Fprintf(t, "median\t%.0f\t%.0f\t%.0f %%\t%.2f\t%.2f\t\n", x.BareRate, x.Rate, 100*x.Share, x.LatencyP50, x.LatencyP99)
	_ = t.Flush() // as the lines before: a terminal that has gone is no fault of the measurement
}
