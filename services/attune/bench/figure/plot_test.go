package figure

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drawn is a run with a plot of each kind.
func drawn() *Run {
	r := &Run{Mode: "growth"}
	r.Add(Figure{Name: "rate", Unit: "/s"}, 5)
	for _, x := range []float64{1000, 10, 100} {
		for round := range 3 {
			r.Point(Plot{Name: "lines", Title: "Cost & <size>", X: "size", Y: "µs", LogX: true}, "wall", x, x/10+float64(round))
		}
	}
	r.Bar(Plot{Name: "bars", Title: "Rates", Y: "/s"}, "bare", 900)
	r.Bar(Plot{Name: "bars", Title: "Rates", Y: "/s"}, "Attune", 300)
	return r
}

func TestALineGoesThroughTheMedianOfEachPlace(t *testing.T) {
	t.Parallel()
	got := drawn().Plots[0].Lines[0].medians()
	want := [][2]float64{{10, 2}, {100, 11}, {1000, 101}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%v instead of %v", got, want)
	}
}

func TestPicturesAreWellFormed(t *testing.T) {
	t.Parallel()
	r := drawn()
	r.Point(Plot{Name: "one place"}, "nothing", 0, 0)
	r.Bar(Plot{Name: "nothing"}, "nothing", 0)
	for _, p := range r.Plots {
		var b strings.Builder
		if err := p.SVG(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Errorf("%s has places that are no numbers:\n%s", p.Name, &b)
		}
		for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", p.Name, err, &b)
			}
		}
	}
}

func TestTicksAreRoundNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		axis axis
		want string
	}{
		{newAxis(0, 9.3, 0, 100, false), "0 2 4 6 8 10"},
		{newAxis(10, 5000, 0, 100, true), "10 100 1,000"},
		{newAxis(1000, 1_000_000, 0, 100, true), "1,000 10,000 100,000 1,000,000"},
		{newAxis(0, 0.05, 0, 100, false), "0 0.01 0.02 0.03 0.04 0.05"},
	} {
		var got []string
		for _, v := range c.axis.ticks() {
			got = append(got, label(v))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q instead of %q", strings.Join(got, " "), c.want)
		}
	}
}

func TestADocumentKeepsWhatIsNotFigures(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "performance.md")
	text := "# Text before\n<!-- figures of growth: written by `bench report` -->\nold\n<!-- end of figures -->\ntext after\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &Report{Runs: []*Run{drawn()}}
	var written [2]string
	for i := range written {
		if err := r.Document(file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		written[i] = string(b)
	}
	if written[0] != written[1] {
		t.Errorf("writing again changes\n%s\ninto\n%s", written[0], written[1])
	}
	for _, want := range []string{"# Text before\n", "\ntext after\n", "| rate | 5.00 /s |", "](performance/lines.svg)", "](performance/bars.svg)"} {
		if !strings.Contains(written[0], want) {
			t.Errorf("%q is missing in\n%s", want, written[0])
		}
	}
	if strings.Contains(written[0], "old") {
		t.Errorf("old figures are left:\n%s", written[0])
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), "performance", "bars.svg")); err != nil {
		t.Error(err)
	}
}

func TestADocumentWithoutAPlaceIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&Report{Runs: []*Run{drawn()}}).Document(file); !errors.Is(err, ErrPlace) {
		t.Errorf("got %v", err)
	}
}

func TestReportsAreComparedWhereBothHaveAFigure(t *testing.T) {
	t.Parallel()
	before, after := &Run{Mode: "a"}, &Run{Mode: "a"}
	before.Add(Figure{Name: "rate", Unit: "/s"}, 100)
	after.Add(Figure{Name: "rate", Unit: "/s"}, 150)
	after.Add(Figure{Name: "new"}, 1)
	var b strings.Builder
	Compare(&b, &Report{Runs: []*Run{before}}, &Report{Runs: []*Run{after, {Mode: "b"}}})
	if got := strings.Join(strings.Fields(b.String()), " "); !strings.Contains(got, "rate 100 /s 150 /s 1.50") || strings.Contains(got, "new ") {
		t.Error(b.String())
	}
}
