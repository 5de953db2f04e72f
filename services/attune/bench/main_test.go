package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/services/attune/bench/scale"
)

// TestMain lets measurements start this test binary as their parts.
func TestMain(m *testing.M) {
	if args := os.Args[1:]; scale.IsPart(args) {
		if err := scale.Part(context.Background(), args, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, natstest.AsyncPublisher())
}

// slow stands for a mode that differs from another one by its defaults, and waits long for servers to agree.
const slow = "slow"

// small are arguments with which each mode goes through all that it measures, once.
var small = map[string]string{
	"throughput":         "-executions 8",
	"latency":            "-samples 2",
	"events":             "-events 5 -events100 2 -others 20",
	"growth":             "-executions 10 -queues 1,3 -stored 60,80",
	"idle":               "-actions 3 -rules 3 -settle 10ms -for 100ms",
	"starts":             "-samples 2",
	"logs":               "-flood 25 -keep 1 -executions 3 -followers 2 -lines 2",
	"packs":              "-runs 1",
	"admission":          "-executions 20 -samples 5 -queues 2 -waiting 20",
	"admission-interval": "-executions 20 -samples 5 -queues 2 -waiting 0",
	"admission-cluster":  slow,
}

func TestEveryModeMeasures(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Attune many times")
	}
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "attune") // without the race detector: it is what is measured, not what is tested
	if err := build(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			args, known := small[m.name]
			if !known {
				t.Fatal("the test knows no arguments for this mode")
			}
			if args == slow {
				t.Skip("it is another mode with other defaults")
			}
			if m.name == "packs" && exec.Command("python3", "-c", "import venv, ensurepip, pip").Run() != nil {
				t.Skip("there is no Python with pip")
			}
			file := filepath.Join(t.TempDir(), "figures.json")
			var out strings.Builder
			all := append([]string{m.name, "-rounds", "1", "-json", file, "-binary", binary}, strings.Fields(args)...)
			if err := dispatch(t.Context(), all, &out); err != nil {
				t.Fatal(err)
			}
			checkFigures(t, file, m.name, out.String())
		})
	}
}

// checkFigures reads what a mode kept, and looks for each figure in what it printed.
func checkFigures(t *testing.T, file, mode, printed string) {
	t.Helper()
	r, err := figure.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	run := r.Run(mode)
	if run == nil || len(run.Figures) == 0 {
		t.Fatalf("%s holds no figures of %s", file, mode)
	}
	for _, f := range run.Figures {
		if len(f.Rounds) != 1 || !strings.Contains(printed, f.Name) {
			t.Errorf("%s has the rounds %v, or is not printed", f.Name, f.Rounds)
		}
	}
}

func TestArgumentsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "nothing", "idle -rounds 0", "idle 3", "report only.json", "compare only.json"} {
		if err := dispatch(t.Context(), strings.Fields(args), &strings.Builder{}); !errors.Is(err, errUsage) {
			t.Errorf("bench %s: %v", args, err)
		}
	}
}

func TestACommandIsToldWithoutItsFiles(t *testing.T) {
	t.Parallel()
	got := command(strings.Fields("idle -json a.json -rounds 2 --binary=x -binary y -for 3s"))
	if want := "bench idle -rounds 2 -for 3s"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
}
