package figure

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes the run as a table for a terminal.
func (r *Run) Print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n%s\n\n", r.Mode, r.About, r.Machine)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tmedian\trounds\tsettings")
	for _, f := range r.Sorted() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.title(), f.format(f.Median), f.rounds(), f.Settings)
	}
	_ = t.Flush() // as the lines before: a terminal that has gone is no fault of the measurement
	for _, note := range r.Notes {
		fmt.Fprintln(w, note)
	}
}

// Markdown writes the run as a table for a document.
func (r *Run) Markdown(w io.Writer) {
	fmt.Fprintf(w, "`%s`, %s\n\n%s\n", r.Command, r.Began.Format("2 January 2006"), r.Machine)
	fmt.Fprintf(w, "\n| figure | median | rounds | settings |\n| --- | --- | --- | --- |\n")
	for _, f := range r.Sorted() {
		median := f.format(f.Median)
		if f.Of != "" {
			median = "**" + median + "**"
		}
		settings := "defaults"
		if f.Settings != "" {
			settings = "`" + f.Settings + "`"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", f.title(), median, f.rounds(), settings)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

func (f *Figure) title() string {
	if f.Of != "" {
		return f.Name + ", of " + f.Of
	}
	return f.Name
}

func (f *Figure) format(value float64) string {
	text := Number(value)
	if f.Unit != "" {
		text += " " + f.Unit
	}
	return text
}

// rounds gives all values; one alone is the median.
func (f *Figure) rounds() string {
	if len(f.Rounds) < 2 {
		return ""
	}
	all := make([]string, 0, len(f.Rounds))
	for _, value := range f.Rounds {
		all = append(all, Number(value))
	}
	return strings.Join(all, ", ")
}

// Number writes a value with three digits that count, and thousands apart.
func Number(value float64) string {
	size := math.Abs(value)
	switch {
	case math.IsNaN(value) || math.IsInf(value, 0):
		return "none"
	case size >= 999.5:
		return thousands(strconv.FormatFloat(value, 'f', 0, 64))
	case size >= 99.95:
		return strconv.FormatFloat(value, 'f', 0, 64)
	case size >= 9.995:
		return strconv.FormatFloat(value, 'f', 1, 64)
	case size >= 0.0995 || size == 0:
		return strconv.FormatFloat(value, 'f', 2, 64)
	default:
		return strconv.FormatFloat(value, 'g', 2, 64)
	}
}

// Count writes a number of things.
func Count(n int) string { return thousands(strconv.Itoa(n)) }

func thousands(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, parts...), ",")
}
