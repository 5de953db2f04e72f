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
	"strconv"
	"strings"
)

// serverCommand and leaderCommand are the first arguments with which this program starts its own parts.
const (
	serverCommand = "admission-server"
	leaderCommand = "admission-scheduler"
)

// errUsage is returned for options that make no sense.
var errUsage = errors.New("usage")

// Options are the sizes of the measurement.
type Options struct {
	Servers    int
	Sync       string
	Facts      string
	Queues     string // numbers of queues with work
	Waiting    string // numbers of waiting executions
	Executions int
	Samples    int
	Runners    int
	Slots      int
	Profiles   string

	queues, waiting []int
}

// What is measured by default: one server that waits for the disk, one that does not, and a cluster.
var (
	Defaults = Options{
		Servers: 1, Sync: syncAlways, Facts: factsBatched, Queues: "1,1000,10000", Waiting: "50000", Executions: 6000, Samples: 2000, Runners: 2, Slots: 512,
	}
	Interval = Defaults.with(func(o *Options) { o.Sync, o.Waiting = syncInterval, "200000" })
	Cluster  = Defaults.with(func(o *Options) { o.Servers, o.Queues, o.Waiting, o.Executions = 3, "1,1000", "10000", 4000 })
)

func (o Options) with(change func(*Options)) Options {
	change(&o)
	return o
}

// Flags has flags change the options.
func (o *Options) Flags(f *flag.FlagSet) {
	f.IntVar(&o.Servers, "servers", o.Servers, "NATS servers: 1, or 3 that replicate every stream")
	f.StringVar(&o.Sync, "sync", o.Sync, "when the servers write to disk: always (before they acknowledge) or interval")
	f.StringVar(&o.Facts, "facts", o.Facts, "how runners publish facts: batched (as many runners together) or single")
	f.StringVar(&o.Queues, "queues", o.Queues, "numbers of queues with work")
	f.StringVar(&o.Waiting, "waiting", o.Waiting, "numbers of waiting executions; 0: none of these cases")
	f.IntVar(&o.Executions, "executions", o.Executions, "executions of each round")
	f.IntVar(&o.Samples, "samples", o.Samples, "executions of the queue at limit 1 in each round")
	f.IntVar(&o.Runners, "runners", o.Runners, "simulated runners")
	f.IntVar(&o.Slots, "slots", o.Slots, "slots of each")
	f.StringVar(&o.Profiles, "profiles", o.Profiles, "write processor profiles of every part into this folder")
}

// IsPart tells whether the arguments are those of a part that a measurement starts.
func IsPart(args []string) bool {
	return len(args) > 1 && (args[0] == serverCommand || args[0] == leaderCommand)
}

// Part is one of the parts.
func Part(ctx context.Context, args []string, w io.Writer) error {
	if args[0] == serverCommand {
		return serve(ctx, args[1:], w)
	}
	return lead(ctx, args[1:], w)
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

// check reads the lists, and refuses what makes no sense.
func (o *Options) check() (err error) {
	if o.queues, err = numbers(o.Queues); err != nil {
		return err
	}
	if o.waiting, err = numbers(o.Waiting); err != nil {
		return err
	}
	switch {
	case o.Servers != 1 && o.Servers != 3:
		return fmt.Errorf("%w: 1 server or 3, not %d", errUsage, o.Servers)
	case o.Sync != syncAlways && o.Sync != syncInterval:
		return fmt.Errorf("%w: sync is always or interval, not %q", errUsage, o.Sync)
	case o.Facts != factsBatched && o.Facts != factsSingle:
		return fmt.Errorf("%w: facts are batched or single, not %q", errUsage, o.Facts)
	case min(o.Executions, o.Samples, o.Runners, o.Slots) < 1:
		return fmt.Errorf("%w: a number is less than 1", errUsage)
	}
	return nil
}
