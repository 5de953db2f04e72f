// Command bench measures Attune against the bare work that it stands on.
//
// It builds the binary, starts `attune up` with its defaults on free ports and a data folder of its own, and
// measures in interleaved rounds, so that a machine that is busy for a while is busy for both sides:
//
//   - the time from publishing an event over NATS to the first instruction of a shell action, at a low rate;
//   - executions of core.noop per second, as real processes, with events coming in over NATS, as a share of
//     what a bare loop of fork, exec and wait of the same program reaches.
//
// It prints a table of medians, and with -json the same as JSON. With `admission` as its first argument it measures
// ordered admission alone instead, at a size that real processes do not reach on one machine: see package scale.
// With `idle` it measures what an installation with many actions and no work takes, with `packs` what installing packs
// takes: see package packs; with `starts` what starting a program costs, in a sandbox and out of it; with `logs` what
// output costs.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/attune/attune/services/attune/bench/packs"
	"github.com/attune/attune/services/attune/bench/scale"
)

type options struct {
	rounds     int
	executions int
	samples    int
	out        string
	binary     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if args := os.Args[1:]; scale.Handles(args) {
		exit(scale.Main(ctx, args, os.Stdout))
		return
	}
	if args := os.Args[1:]; len(args) > 0 && args[0] == idleCommand {
		exit(idle(ctx, args[1:], os.Stdout))
		return
	}
	if args := os.Args[1:]; len(args) > 0 && args[0] == startsCommand {
		exit(starts(ctx, args[1:], os.Stdout))
		return
	}
	if args := os.Args[1:]; len(args) > 0 && args[0] == logsCommand {
		exit(output(ctx, args[1:], os.Stdout))
		return
	}
	if args := os.Args[1:]; len(args) > 0 && args[0] == packs.Command {
		exit(packs.Main(ctx, args[1:], os.Stdout))
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "interleaved rounds; medians are of these")
	flag.IntVar(&o.executions, "executions", 2000, "executions in each round of throughput")
	flag.IntVar(&o.samples, "samples", 100, "events in each round of latency")
	flag.StringVar(&o.out, "json", "", "also write the figures as JSON to this file")
	flag.StringVar(&o.binary, "binary", "", "measure this attune instead of building one")
	flag.Parse()
	exit(run(ctx, o, os.Stdout))
}

// exit ends the process unless all is well.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "attune-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL's own user passes through
		return err
	}
	in, err := start(ctx, dir, o.binary)
	if err != nil {
		return err
	}
	defer func() { err = keep(err, in.stop()) }()
	report, err := measure(ctx, in, o, w)
	if err != nil {
		return err
	}
	report.print(w)
	if o.out == "" {
		return nil
	}
	return writeJSON(o.out, report)
}

func writeJSON(file string, report any) error {
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func keep(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func measure(ctx context.Context, in *instance, o options, w io.Writer) (*report, error) {
	r := newReport(o)
	for round := range o.rounds {
		fmt.Fprintf(w, "round %d of %d\n", round+1, o.rounds)
		bare, err := forkExec(ctx, in.noop, o.executions)
		if err != nil {
			return nil, err
		}
		rate, err := in.throughput(ctx, o.executions)
		if err != nil {
			return nil, err
		}
		latencies, err := in.latency(ctx, o.samples)
		if err != nil {
			return nil, err
		}
		r.add(bare, rate, latencies)
	}
	return r, nil
}
