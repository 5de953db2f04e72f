package scale

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
)

// table is all that was measured, with the machine and the settings.
type table struct {
	CPUs       int     `json:"cpus"`
	Go         string  `json:"go"`
	Platform   string  `json:"platform"`
	Servers    int     `json:"servers"`
	Sync       string  `json:"sync"`
	Facts      string  `json:"facts"`
	Runners    int     `json:"runners"`
	Slots      int     `json:"slots_of_each"`
	Executions int     `json:"executions_per_round"`
	Samples    int     `json:"limit_one_samples_per_round"`
	Flows      []flow  `json:"flows"`
	Gaps       []gap   `json:"limit_one"`
	Stocks     []stock `json:"backlogs"`
}

func newTable(o options) *table {
	return &table{
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Servers: o.servers, Sync: o.sync, Facts: o.facts, Runners: o.runners, Slots: o.slots, Executions: o.executions, Samples: o.samples,
	}
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d processors, %s, %s; %d server(s), sync %s; %d runners of %d slots, facts %s; %d executions a round\n\n",
		t.CPUs, t.Platform, t.Go, t.Servers, t.Sync, t.Runners, t.Slots, t.Facts, t.Executions)
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "queues\twaiting\trounds\texecutions/s\tlowest\thighest\tCPU us: servers\tscheduler\tload\tCPU allows/s\t")
	for _, f := range t.medians() {
		fmt.Fprintf(out, "%d\t%d\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t\n",
			f.Queues, f.Waiting, f.rounds, f.Rate, f.lowest, f.highest, f.Servers, f.Leader, f.Load, f.allowed(t.CPUs))
	}
	if len(t.Gaps) > 0 {
		fmt.Fprintln(out, "\nlimit 1\t\trounds\tend to start p50 us\tp99 us\t")
		fmt.Fprintf(out, "\t\t%d\t%.0f\t%.0f\t\n", len(t.Gaps),
			median(t.Gaps, func(g gap) float64 { return g.P50 }), median(t.Gaps, func(g gap) float64 { return g.P99 }))
	}
	if len(t.Stocks) > 0 {
		fmt.Fprintln(out, "\n\twaiting\trebuilt s\tof CPU s\tkilled to leading s\tscheduler B each\tservers B each\t")
	}
	for _, s := range t.Stocks {
		fmt.Fprintf(out, "\t%d\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t\n", s.Waiting, s.RebuiltIn, s.CPU, s.Takeover, s.Bytes, s.Server)
	}
	_ = out.Flush() // as the lines before: a terminal that has gone is no fault of the measurement
}

// summary is the rounds of one case.
type summary struct {
	flow
	rounds          int
	lowest, highest float64
}

// allowed is the rate at which the processors would be used up, if nobody else wanted them and nothing waited for
// the disk: what to compare when other work runs on the machine.
func (f flow) allowed(cpus int) float64 {
	return float64(cpus) * 1e6 / max(f.Servers+f.Leader+f.Load, 1)
}

func (t *table) medians() (all []summary) {
	type which struct{ queues, waiting int }
	cases := map[which][]flow{}
	var order []which
	for _, f := range t.Flows {
		c := which{f.Queues, f.Waiting}
		if cases[c] == nil {
			order = append(order, c)
		}
		cases[c] = append(cases[c], f)
	}
	for _, c := range order {
		fs := cases[c]
		rate := func(f flow) float64 { return f.Rate }
		byRate := slices.SortedFunc(slices.Values(fs), func(a, b flow) int { return int(a.Rate - b.Rate) })
		all = append(all, summary{
			flow: flow{
				Queues: c.queues, Waiting: c.waiting, Rate: median(fs, rate),
				Servers: median(fs, func(f flow) float64 { return f.Servers }),
				Leader:  median(fs, func(f flow) float64 { return f.Leader }),
				Load:    median(fs, func(f flow) float64 { return f.Load }),
			},
			rounds: len(fs), lowest: byRate[0].Rate, highest: byRate[len(fs)-1].Rate,
		})
	}
	return all
}

func median[T any](all []T, of func(T) float64) float64 {
	var values []float64
	for _, x := range all {
		values = append(values, of(x))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (t *table) write(file string) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
