// Package packs measures installing packs against doing the same by hand, in the same rounds:
//
//   - from the wish in INSTALLS to the report that the pack is installed, against `python -m venv` and `pip install` of
//     the same wheel from the same index;
//   - from the start of a runner to the report that a pack which was built before is ready;
//   - what the environment adds to each run of an action.
//
// Everything runs in this process and on loopback, but for the interpreters.
package packs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// Command is the first argument of the program for these measurements.
const Command = "packs"

// The targets.
const (
	mostRatio = 1.3
	mostReady = 50 * time.Millisecond
)

var errNoPython = errors.New("no python3 with venv and pip was found")

// Main measures and prints.
func Main(ctx context.Context, args []string, w io.Writer) (err error) {
	f := flag.NewFlagSet(Command, flag.ContinueOnError)
	rounds := f.Int("rounds", 5, "rounds; medians are of these")
	runs := f.Int("runs", 200, "runs of a program in each round")
	python := f.String("python", "", "interpreter; the first python3 of PATH when empty")
	if err := f.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "attune-packs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, runs: *runs}
	if b.python, err = findPython(ctx, *python); err != nil {
		return err
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	defer b.close()
	for n := range *rounds {
		if err := b.round(ctx, n); err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
	}
	return b.print(w)
}

// findPython gives the file of an interpreter itself, not a version manager's shim.
func findPython(ctx context.Context, name string) (string, error) {
	if name == "" {
		name = "python3"
	}
	out, err := exec.CommandContext(ctx, name, "-c", "import sys, venv, ensurepip, pip, os; print(os.path.realpath(sys.executable), end='')").Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", errNoPython, name, err)
	}
	return string(out), nil
}

// figures are what each round gave.
type figures struct {
	byHand, install, ready, bare, run, use []time.Duration
}

func (b *bench) round(ctx context.Context, n int) error {
	byHand, err := timed(func() error { return b.byHand(ctx, filepath.Join(b.dir, fmt.Sprint("hand", n))) })
	if err != nil {
		return err
	}
	digest, install, err := b.install(ctx, n)
	if err != nil {
		return err
	}
	ready, err := b.restart(ctx, digest)
	if err != nil {
		return err
	}
	f := &b.figures
	f.byHand, f.install, f.ready = append(f.byHand, byHand), append(f.install, install), append(f.ready, ready)
	return b.perRun(ctx, digest)
}

func timed(do func() error) (time.Duration, error) {
	began := time.Now()
	err := do()
	return time.Since(began), err
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

func (b *bench) print(w io.Writer) error {
	f := b.figures
	ratio := float64(median(f.install)) / float64(median(f.byHand))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "python -m venv and pip install by hand\t%s\t\n", median(f.byHand).Round(time.Millisecond))
	fmt.Fprintf(t, "installing the pack on a runner\t%s\t%.2f times by hand, at most %.1f wanted\n", median(f.install).Round(time.Millisecond), ratio, mostRatio)
	fmt.Fprintf(t, "built pack ready after a runner's start\t%s\tat most %s wanted\n", median(f.ready).Round(100*time.Microsecond), mostReady)
	fmt.Fprintf(t, "the environment's python, bare\t%s\t\n", median(f.bare).Round(10*time.Microsecond))
	fmt.Fprintf(t, "the same, as a runner starts it\t%s\t\n", median(f.run).Round(10*time.Microsecond))
	fmt.Fprintf(t, "of that, finding the environment\t%s\t\n", median(f.use).Round(10*time.Nanosecond))
	return t.Flush()
}
