// Package figure holds what a benchmark measured, and writes it: as JSON, as a table, and as plots.
//
// It guarantees that every figure keeps the value of each round beside its median, that ratios stand before what
// they were made of, and that a figure which was measured with settings other than the defaults says which.
package figure

import (
	"math"
	"slices"
	"time"
)

// Figure is one quantity, with a value for each round.
type Figure struct {
	Name     string    `json:"name"`
	Unit     string    `json:"unit,omitempty"`
	Of       string    `json:"of,omitempty"`       // what a ratio is a share or a multiple of
	Settings string    `json:"settings,omitempty"` // that differ from the defaults
	Median   float64   `json:"median"`
	Rounds   []float64 `json:"rounds"`
}

// Run is what one mode of the benchmark gave.
type Run struct {
	Mode    string    `json:"mode"`
	About   string    `json:"about"`
	Command string    `json:"command"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	Machine Machine   `json:"machine"`
	Notes   []string  `json:"notes,omitempty"`
	Figures []*Figure `json:"figures"`
	Plots   []*Plot   `json:"plots,omitempty"`
}

// Add records the value that a round gave, of a figure that its name tells apart, and for a ratio what it is of.
// Figures stand in the order in which they were first added.
func (r *Run) Add(f Figure, value float64) {
	known := r.find(f.Name, f.Of)
	if known == nil {
		known = &f
		r.Figures = append(r.Figures, known)
	}
	known.Rounds = append(known.Rounds, value)
	known.Median = Median(known.Rounds)
}

// Ratio records of a round that one value is so many times another, which is named of.
func (r *Run) Ratio(name, of string, value, base float64, settings string) {
	r.Add(Figure{Name: name, Of: of, Settings: settings}, value/base)
}

// Note keeps a sentence that is to be read with the figures. The same one twice is one.
func (r *Run) Note(text string) {
	if !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

func (r *Run) find(name, of string) *Figure {
	for _, f := range r.Figures {
		if f.Name == name && f.Of == of {
			return f
		}
	}
	return nil
}

// Sorted gives the figures with the ratios first.
func (r *Run) Sorted() []*Figure {
	return slices.SortedStableFunc(slices.Values(r.Figures), func(a, b *Figure) int { return rank(a) - rank(b) })
}

func rank(f *Figure) int {
	if f.Of != "" {
		return 0
	}
	return 1
}

// Median gives the middle of values, or the mean of the two in the middle. Without values there is none.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return math.NaN()
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// Quantile gives the value below which the share q of all durations lies, in milliseconds.
func Quantile(durations []time.Duration, q float64) float64 {
	sorted := slices.Sorted(slices.Values(durations))
	if len(sorted) == 0 {
		return math.NaN()
	}
	return Milliseconds(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))])
}

// Milliseconds gives a duration as a number.
func Milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// Microseconds gives a duration as a number.
func Microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
