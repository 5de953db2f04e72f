// Package scale measures ordered admission: real NATS servers and schedulers in processes of their own, and
// simulated runners that speak the real protocol and run nothing.
//
// What it measures is therefore what admission itself allows: a request, its place in line, the dispatch, the
// claim and the end, each as the messages and compare-and-sets of the real thing.
package scale

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Command is the first argument of the program that starts this measurement, and serverCommand and
// leaderCommand those by which it starts its own parts.
const (
	Command       = "admission"
	serverCommand = "admission-server"
	leaderCommand = "admission-scheduler"
)

// errUsage is returned for options that make no sense.
var errUsage = errors.New("usage")

type options struct {
	servers    int
	sync       string
	facts      string
	queues     []int
	waiting    []int
	executions int
	rounds     int
	samples    int
	runners    int
	slots      int
	profiles   string
	json       string
}

// Handles tells whether the arguments are for this package.
func Handles(args []string) bool {
	return len(args) > 0 && (args[0] == Command || args[0] == serverCommand || args[0] == leaderCommand)
}

// Main measures, or is one of the parts that a measurement has started.
func Main(ctx context.Context, args []string, w io.Writer) error {
	switch args[0] {
	case serverCommand:
		return serve(ctx, args[1:], w)
	case leaderCommand:
		return lead(ctx, args[1:], w)
	}
	o, err := parse(args[1:])
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "attune-admission-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return measure(ctx, dir, o, w)
}

func parse(args []string) (options, error) {
	var o options
	var queues, waiting string
	f := flag.NewFlagSet(Command, flag.ContinueOnError)
	f.IntVar(&o.servers, "servers", 1, "NATS servers: 1, or 3 that replicate every stream")
	f.StringVar(&o.sync, "sync", "always", "when the servers write to disk: always (before they acknowledge) or interval")
	f.StringVar(&o.facts, "facts", factsBatched, "how runners publish facts: batched (as many runners together) or single")
	f.StringVar(&queues, "queues", "1,1000,10000", "numbers of queues with work")
	f.StringVar(&waiting, "waiting", "50000,200000", "numbers of waiting executions; 0: none of these cases")
	f.IntVar(&o.executions, "executions", 20_000, "executions of each round")
	f.IntVar(&o.rounds, "rounds", 3, "interleaved rounds; medians are of these")
	f.IntVar(&o.samples, "samples", 2000, "executions of the queue at limit 1 in each round")
	f.IntVar(&o.runners, "runners", 2, "simulated runners")
	f.IntVar(&o.slots, "slots", 512, "slots of each")
	f.StringVar(&o.profiles, "profiles", "", "write processor profiles of every part into this folder")
	f.StringVar(&o.json, "json", "", "also write the figures as JSON to this file")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.queues, err = numbers(queues); err != nil {
		return o, err
	}
	if o.waiting, err = numbers(waiting); err != nil {
		return o, err
	}
	return o, o.check()
}

// numbers reads a list and drops zeros, which stand for nothing to measure.
func numbers(list string) ([]int, error) {
	var all []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%w: %q is not a list of numbers", errUsage, list)
		}
		if n > 0 {
			all = append(all, n)
		}
	}
	return all, nil
}

func (o options) check() error {
	switch {
	case o.servers != 1 && o.servers != 3:
		return fmt.Errorf("%w: 1 server or 3, not %d", errUsage, o.servers)
	case o.sync != syncAlways && o.sync != syncInterval:
		return fmt.Errorf("%w: sync is always or interval, not %q", errUsage, o.sync)
	case o.facts != factsBatched && o.facts != factsSingle:
		return fmt.Errorf("%w: facts are batched or single, not %q", errUsage, o.facts)
	case min(o.executions, o.rounds, o.samples, o.runners, o.slots) < 1:
		return fmt.Errorf("%w: a number is less than 1", errUsage)
	}
	return nil
}
