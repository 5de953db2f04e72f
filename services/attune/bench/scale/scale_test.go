package scale

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/attune/attune/services/attune/bench/figure"
)

// TestMain lets the measurement start this test binary as its parts.
func TestMain(m *testing.M) {
	if args := os.Args[1:]; IsPart(args) {
		if err := Part(context.Background(), args, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A small measurement goes through every case with real processes and gives a figure for each.
func TestMeasuresEveryCase(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers and schedulers")
	}
	t.Parallel()
	o := Interval
	o.Queues, o.Waiting, o.Executions, o.Samples, o.Slots = "1,10", "200", 100, 20, 64
	b, err := Open(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	run := &figure.Run{}
	if err := errors.Join(b.Round(t.Context(), run), b.Backlogs(t.Context(), run), b.Close()); err != nil {
		t.Fatal(err)
	}
	if want := 5*len([]string{"1 queue", "10 queues", "1,000 queues, 200 waiting", "200 waiting"}) + 2; len(run.Figures) != want {
		t.Errorf("%d figures instead of %d", len(run.Figures), want)
	}
}

func TestRefusesOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-servers 2", "-sync never", "-facts none", "-queues one", "-slots 0"} {
		o := Defaults
		f := flag.NewFlagSet("", flag.ContinueOnError)
		o.Flags(f)
		if err := errors.Join(f.Parse(strings.Fields(args)), o.check()); !errors.Is(err, errUsage) {
			t.Errorf("%s is taken: %v", args, err)
		}
	}
}
