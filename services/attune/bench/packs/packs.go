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
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/services/runner"
)

// The targets.
const (
	mostRatio = 1.3
	mostReady = 50 * time.Millisecond
)

var errNoPython = errors.New("no python3 with venv and pip was found")

// Options are the sizes of the measurement.
type Options struct {
	Dir    string // to work in
	Runs   int    // of a program in each round
	Python string // interpreter; the first python3 of PATH when empty
}

// Bench is a NATS server with a runner.
type Bench struct {
	dir, python, index string
	runs               int
	perRunOf           perRun

	server *natsserver.Server
	bus    *bus.Bus
	runner *runner.Runner
	ends   []func()
}

// Open starts a server, an index of Python packages, and a runner.
func Open(ctx context.Context, o Options) (*Bench, error) {
	b := &Bench{dir: o.Dir, runs: o.Runs}
	var err error
	if b.python, err = findPython(ctx, o.Python); err != nil {
		return nil, err
	}
	if err := b.open(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
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

// perRun is how long each of the runs of a round took.
type perRun struct{ bare, run, use []time.Duration }

// Round measures everything once. n tells the rounds apart.
func (b *Bench) Round(ctx context.Context, n int, run *figure.Run) error {
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
	b.perRunOf = perRun{}
	if err := b.perRun(ctx, digest); err != nil {
		return err
	}
	b.add(run, byHand, install, ready)
	return nil
}

func timed(do func() error) (time.Duration, error) {
	began := time.Now()
	err := do()
	return time.Since(began), err
}

func (b *Bench) add(run *figure.Run, byHand, install, ready time.Duration) {
	bare, started := figure.Quantile(b.perRunOf.bare, 0.5), figure.Quantile(b.perRunOf.run, 0.5)
	run.Ratio("installing a pack on a runner", "the same by hand", install.Seconds(), byHand.Seconds(), "")
	run.Ratio("Python of an environment, as a runner starts it", "bare fork and exec", started, bare, "")
	run.Add(figure.Figure{Name: "`python -m venv` and `pip install` of one pure wheel by hand", Unit: "s"}, byHand.Seconds())
	run.Add(figure.Figure{Name: "the same pack from the wish to the report that it is installed", Unit: "s"}, install.Seconds())
	run.Add(figure.Figure{Name: "a pack that was built before, ready after a runner's start", Unit: "ms"}, figure.Milliseconds(ready))
	run.Add(figure.Figure{Name: "the environment's Python with one import, by fork and exec", Unit: "ms"}, bare)
	run.Add(figure.Figure{Name: "the same as a runner starts it", Unit: "ms"}, started)
	run.Add(figure.Figure{Name: "of that, finding the environment", Unit: "ms"}, figure.Quantile(b.perRunOf.use, 0.5))
	run.Note(fmt.Sprintf("Wanted: installing at most %.1f times by hand, ready at most %v after a start.", mostRatio, mostReady))
}
