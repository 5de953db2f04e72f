package figure

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Compare writes how the figures of two reports differ, those that both have.
func Compare(w io.Writer, before, after *Report) {
	for _, now := range after.Runs {
		then := before.Run(now.Mode)
		if then == nil {
			continue
		}
		fmt.Fprintf(w, "\n%s: load %.1f then, %.1f now\n\n", now.Mode, then.Machine.LoadBefore, now.Machine.LoadBefore)
		t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(t, "figure\tthen\tnow\tnow of then")
		for _, f := range now.Sorted() {
			if old := then.find(f.Name, f.Of); old != nil {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.title(), old.format(old.Median), f.format(f.Median), Number(f.Median/old.Median))
			}
		}
		_ = t.Flush() // as the lines before: a terminal that has gone is no fault of the measurement
	}
}
