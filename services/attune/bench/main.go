// Command bench measures Attune against the bare work that it stands on.
//
//	go run ./services/attune/bench MODE [flags]
//
// Without arguments it lists its modes. Each builds the binary, starts the real `attune up` with its defaults on free
// ports and a data folder of its own (or the parts that it is about), and measures in interleaved rounds, so that a
// machine that is busy for a while is busy for all sides. A mode says which of its figures were measured with
// settings that differ from the defaults.
//
// Progress goes to standard error, and a table with the medians to standard output: ratios first. With -json FILE
// the same is kept in a file, which holds the newest run of each mode. `report FILE` writes such a file's tables and
// plots into a document, so that nobody types figures; `compare BEFORE AFTER` shows what a change gave.
//
// # Modes
//
// A mode is a line in the table of modes. Its function defines the mode's own flags and gives the function that
// measures: it asks the session for instances, and adds what each round gave to the session's run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/attune/attune/services/attune/bench/historybench"
	"github.com/attune/attune/services/attune/bench/scale"
)

// measure is what a mode does. It adds its figures to the run of its session.
type measure func(context.Context, *session) error

// mode is one measurement.
type mode struct {
	name   string
	about  string
	rounds int // by default; medians are of these
	define func(*flag.FlagSet) measure
}

// modes are all measurements, in the order in which `all` takes them.
var modes = []mode{
	{"throughput", "executions per second, as a share of bare fork and exec", 5, throughputMode},
	{"latency", "from an event to the first instruction of an action", 5, latencyMode},
	{"events", "events that lead to decisions only, and rules that are not asked", 5, eventsMode},
	{"growth", "what an execution costs with many stored and over many queues", 3, growthMode},
	{"idle", "what many actions and rules take without work", 3, idleMode},
	{"starts", "what a start of a program costs, with and without a sandbox", 5, startsMode},
	{"warm", "starts of functions, with and without processes that wait for them", 5, warmMode},
	{"logs", "what output costs", 3, logsMode},
	{"packs", "installing a pack, against the same by hand", 3, packsMode},
	{"history", "lists, recording and retention over a large history", 1, historyMode},
	{"admission", "ordered admission alone, with simulated runners", 3, admissionMode(scale.Defaults)},
	{"admission-interval", "the same with a server that does not wait for the disk", 3, admissionMode(scale.Interval)},
	{"admission-cluster", "the same with three servers that replicate", 3, admissionMode(scale.Cluster)},
}

// errUsage is returned when the arguments make no sense.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dispatch does what the arguments say.
func dispatch(ctx context.Context, args []string, w io.Writer) error {
	if part, err := asPart(ctx, args, w); part {
		return err
	}
	if len(args) == 0 {
		return fmt.Errorf("%w: bench MODE [flags]\n%s", errUsage, list())
	}
	switch args[0] {
	case "all":
		return all(ctx, args, w)
	case "report":
		return report(args[1:])
	case "compare":
		return compare(args[1:], w)
	}
	for _, m := range modes {
		if m.name == args[0] {
			return one(ctx, m, args, w)
		}
	}
	return fmt.Errorf("%w: there is no mode %q\n%s", errUsage, args[0], list())
}

// asPart is what this program does as one of the processes that a measurement starts.
func asPart(ctx context.Context, args []string, w io.Writer) (part bool, err error) {
	switch {
	case scale.IsPart(args):
		return true, scale.Part(ctx, args, w)
	case historybench.IsPart(args):
		return true, historybench.Part(ctx, args)
	default:
		return false, nil
	}
}

func list() string {
	var b strings.Builder
	for _, m := range modes {
		fmt.Fprintf(&b, "  %-20s %s\n", m.name, m.about)
	}
	fmt.Fprintf(&b, "  %-20s every mode, with its defaults\n", "all")
	fmt.Fprintf(&b, "  %-20s write the figures of a file into a document: report FILE.json FILE.md\n", "report")
	fmt.Fprintf(&b, "  %-20s how the figures of two files differ: compare BEFORE.json AFTER.json\n", "compare")
	b.WriteString("`bench MODE -h` lists the flags of a mode.")
	return b.String()
}

// common are the flags that every mode has.
type common struct {
	w      io.Writer // takes the tables
	rounds int
	json   string
	binary string
}

func (c *common) flags(f *flag.FlagSet, rounds int) {
	f.IntVar(&c.rounds, "rounds", rounds, "interleaved rounds; medians are of these")
	f.StringVar(&c.json, "json", "", "also keep the figures in this file, in the place of an earlier run of the mode")
	f.StringVar(&c.binary, "binary", "", "measure this attune instead of building one")
}

// one measures one mode.
func one(ctx context.Context, m mode, args []string, w io.Writer) error {
	c := common{w: w}
	f := flag.NewFlagSet("bench "+m.name, flag.ContinueOnError)
	c.flags(f, m.rounds)
	do := m.define(f)
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if f.NArg() > 0 || c.rounds < 1 {
		return fmt.Errorf("%w: bench %s [flags]; at least one round", errUsage, m.name)
	}
	return c.within(ctx, func(dir string) error { return c.perform(ctx, m, do, dir, args) })
}

// all measures every mode with its defaults.
func all(ctx context.Context, args []string, w io.Writer) error {
	c := common{w: w}
	f := flag.NewFlagSet("bench all", flag.ContinueOnError)
	c.flags(f, 0)
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	return c.within(ctx, func(dir string) error {
		var errs []error
		for _, m := range modes {
			c := c
			if c.rounds == 0 {
				c.rounds = m.rounds
			}
			do := m.define(flag.NewFlagSet(m.name, flag.ContinueOnError))
			if err := c.perform(ctx, m, do, dir, []string{m.name}); err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s: %v\n", m.name, err)
				errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
			}
			if ctx.Err() != nil {
				break
			}
		}
		return errors.Join(errs...)
	})
}

// within gives a folder for the time of a measurement, with the binary in it.
func (c *common) within(ctx context.Context, do func(dir string) error) error {
	dir, err := os.MkdirTemp("", "attune-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL's own user passes through
		return err
	}
	if c.binary == "" {
		c.binary = filepath.Join(dir, "attune")
		if err := build(ctx, c.binary); err != nil {
			return err
		}
	}
	return do(dir)
}
