package figure

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestARoundIsKeptBesideTheMedian(t *testing.T) {
	t.Parallel()
	var r Run
	for _, value := range []float64{3, 1, 2} {
		r.Add(Figure{Name: "rate", Unit: "/s"}, value)
		r.Ratio("rate", "bare", value, 10, "")
	}
	if f := r.find("rate", ""); f.Median != 2 || !slices.Equal(f.Rounds, []float64{3, 1, 2}) {
		t.Errorf("median %v of %v", f.Median, f.Rounds)
	}
}

func TestRatiosStandFirst(t *testing.T) {
	t.Parallel()
	var r Run
	r.Add(Figure{Name: "rate", Unit: "/s"}, 5)
	r.Ratio("share", "bare", 5, 10, "ATTUNE_SYNC=interval")
	var out strings.Builder
	r.Markdown(&out)
	share, rate := strings.Index(out.String(), "| share, of bare | **0.50** |  | `ATTUNE_SYNC=interval` |"), strings.Index(out.String(), "| rate | 5.00 /s |")
	if share < 0 || rate < share {
		t.Errorf("the table is\n%s", &out)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("median of %v: %v", c.values, got)
		}
	}
}

func TestQuantileOfDurations(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	if p50, p99 := Quantile(all, 0.5), Quantile(all, 0.99); p50 != 51 || p99 != 100 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
}

func TestNumbersHaveThreeDigitsThatCount(t *testing.T) {
	t.Parallel()
	for value, want := range map[float64]string{
		1234567: "1,234,567", -1000: "-1,000", 999.6: "1,000", 123.4: "123", 12.34: "12.3", 1.234: "1.23", 0: "0.00", 0.0123: "0.012",
	} {
		if got := Number(value); got != want {
			t.Errorf("%v is written %s, not %s", value, got, want)
		}
	}
}

func TestAFileHoldsTheNewestRunOfEachMode(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "figures.json")
	for _, run := range []*Run{{Mode: "a", Seconds: 1}, {Mode: "b"}, {Mode: "a", Seconds: 2}} {
		r, err := Read(file)
		if err != nil {
			t.Fatal(err)
		}
		r.Put(run)
		if err := r.Write(file); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 2 || r.Run("a").Seconds != 2 || r.Run("b") == nil || r.Run("c") != nil {
		t.Errorf("the file holds %+v", r.Runs)
	}
}
