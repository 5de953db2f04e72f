package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/attune/attune/services/attune/bench/figure"
)

// packActions is how many actions a pack of this measurement has.
const packActions = 500

// idleMode starts `attune up` with many defined actions and gives the processor time that it takes with no work.
func idleMode(f *flag.FlagSet) measure {
	actions := f.Int("actions", 10_000, "defined actions")
	settle := f.Duration("settle", 30*time.Second, "rest before the measurement")
	window := f.Duration("for", 30*time.Second, "length of the measurement")
	return func(ctx context.Context, s *session) (err error) {
		in, err := s.start(ctx, "attune")
		if err != nil {
			return err
		}
		defer func() { err = keep(err, in.stop()) }()
		if err := in.define(ctx, s.dir, *actions); err != nil {
			return err
		}
		return s.each(func(int) error { return in.rest(ctx, s.run, *settle, *window) })
	}
}

// define installs packs with so many actions in all.
func (in *instance) define(ctx context.Context, dir string, actions int) error {
	for n := 0; n < actions; n += packActions {
		folder := filepath.Join(dir, "idle", strconv.Itoa(n))
		if err := writeIdlePack(folder, "idle"+strconv.Itoa(n), min(packActions, actions-n)); err != nil {
			return err
		}
		if err := in.installFolder(ctx, folder); err != nil {
			return err
		}
	}
	return nil
}

func writeIdlePack(folder, name string, actions int) error {
	files := map[string]string{
		"pack.yaml":       "name: " + name + "\nversion: 1.0.0\ndescription: Actions that nobody runs.\n",
		"actions/nothing": "#!/bin/sh\n",
	}
	for i := range actions {
		files[fmt.Sprintf("actions/a%d.yaml", i)] = "description: Nothing.\nruntime: shell\nentry_point: nothing\nconcurrency:\n  limit: 1\n"
	}
	return writeFiles(folder, files)
}

// rest measures all processes of the instance.
func (in *instance) rest(ctx context.Context, run *figure.Run, settle, window time.Duration) error {
	if err := doNothing(ctx, settle); err != nil {
		return err
	}
	before := in.usage()
	if err := doNothing(ctx, window); err != nil {
		return err
	}
	used := in.usage().minus(before)
	run.Add(figure.Figure{Name: "Attune, of a processor", Unit: "%"}, 100*used.services.Seconds()/window.Seconds())
	run.Add(figure.Figure{Name: "PostgreSQL, of a processor", Unit: "%"}, 100*used.database.Seconds()/window.Seconds())
	held, err := memory(in.process.Process.Pid, shareOfMemory)
	if err != nil {
		return err
	}
	run.Add(figure.Figure{Name: "Attune, memory", Unit: "MiB"}, float64(held)/(1<<20))
	return nil
}

func doNothing(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
