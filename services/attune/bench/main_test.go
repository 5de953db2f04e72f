package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/services/attune/bench/figure"
)

// TestMain lets measurements start this test binary as their parts.
func TestMain(m *testing.M) {
	if args := os.Args[1:]; len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM) // until this process ends
		part, err := asPart(ctx, args, os.Stdout)
		if !part || err != nil {
			fmt.Fprintln(os.Stderr, part, err)
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
	"events":             "-events 5 -events100 2 -batched 3 -others 20",
	"growth":             "-executions 10 -queues 1,3 -stored 60,80",
	"idle":               "-actions 3 -rules 3 -settle 10ms -for 100ms",
	"starts":             "-samples 2",
	"logs":               "-flood 25 -keep 1 -executions 3 -followers 2 -lines 2",
	"packs":              "-runs 1",
	"warm":               "-samples 1 -rest 1ms",
	"history":            "-executions 3000 -samples 2 -recorded 60",
	"admission":          "-executions 20 -samples 5 -queues 2 -waiting 20",
	"admission-interval": "-executions 20 -samples 5 -queues 2 -waiting 0",
	"admission-cluster":  slow,
}

// needed are commands that work where a mode can.
var needed = map[string][][]string{
	"packs": {{"python3", "-c", "import venv, ensurepip, pip"}},
	"warm":  {{"python3", "--version"}, {"node", "--version"}},
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
			for _, program := range needed[m.name] {
				if exec.Command(program[0], program[1:]...).Run() != nil {
					t.Skip("there is no", program[0])
				}
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
