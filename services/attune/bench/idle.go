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

// idle is the measurement of an installation without work: one with much, and one with nothing of its own.
type idle struct {
	*session
	actions, rules int
	settle, window time.Duration
	full, empty    *instance
}

// idleMode starts `attune up` with many defined actions and rules, and gives what it takes with no work.
func idleMode(f *flag.FlagSet) measure {
	d := &idle{}
	f.IntVar(&d.actions, "actions", 10_000, "defined actions")
	f.IntVar(&d.rules, "rules", 1000, "defined rules")
	f.DurationVar(&d.settle, "settle", 20*time.Second, "rest before the measurement")
	f.DurationVar(&d.window, "for", 20*time.Second, "length of the measurement")
	return func(ctx context.Context, s *session) (err error) {
		d.session = s
		defer func() { err = keep(err, d.stop()) }()
		if d.full, err = s.start(ctx, "full"); err != nil {
			return err
		}
		if d.empty, err = s.start(ctx, "empty"); err != nil {
			return err
		}
		s.say("defining %d actions and %d rules", d.actions, d.rules)
		if err := d.full.define(ctx, d.actions); err != nil {
			return err
		}
		if err := d.full.defineRules(ctx, d.rules); err != nil {
			return err
		}
		return s.each(func(int) error { return d.round(ctx) })
	}
}

func (d *idle) stop() (err error) {
	for _, in := range []*instance{d.full, d.empty} {
		if in != nil {
			err = keep(err, in.stop())
		}
	}
	return err
}

// round starts both anew, lets them rest, and measures them at the same time.
func (d *idle) round(ctx context.Context) error {
	filled, err := d.full.restart(ctx)
	if err != nil {
		return err
	}
	bare, err := d.empty.restart(ctx)
	if err != nil {
		return err
	}
	if err := doNothing(ctx, d.settle); err != nil {
		return err
	}
	full, empty := d.full.usage(), d.empty.usage()
	if err := doNothing(ctx, d.window); err != nil {
		return err
	}
	full, empty = d.full.usage().minus(full), d.empty.usage().minus(empty)
	held, err := d.full.memory()
	if err != nil {
		return err
	}
	least, err := d.empty.memory()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s actions and %s rules", figure.Count(d.actions), figure.Count(d.rules))
	d.run.Ratio(name+": processor time at rest", "an empty installation's", float64(full.services), float64(empty.services), "")
	d.run.Ratio(name+": memory", "an empty installation's", float64(held), float64(least), "")
	d.run.Ratio(name+": from the start until ready", "an empty installation's", filled.Seconds(), bare.Seconds(), "")
	d.add(name, full, held, filled)
	d.add("an empty installation", empty, least, bare)
	return nil
}

func (d *idle) add(name string, used usage, held int64, ready time.Duration) {
	share := func(t time.Duration) float64 { return 100 * t.Seconds() / d.window.Seconds() }
	d.run.Add(figure.Figure{Name: name + ": Attune, of a processor", Unit: "%"}, share(used.services))
	d.run.Add(figure.Figure{Name: name + ": PostgreSQL, of a processor", Unit: "%"}, share(used.database))
	d.run.Add(figure.Figure{Name: name + ": memory of all but PostgreSQL", Unit: "MiB"}, float64(held)/(1<<20))
	d.run.Add(figure.Figure{Name: name + ": from the start until ready", Unit: "s"}, ready.Seconds())
}

// memory gives what the processes of an instance hold, each page once; PostgreSQL's do not count.
func (in *instance) memory() (int64, error) {
	sum, err := memory(in.process.Process.Pid, shareOfMemory)
	if err != nil {
		return 0, err
	}
	for _, s := range family(in.process.Process.Pid) {
		if s.name == databaseProgram {
			continue
		}
		if held, err := memory(s.pid, shareOfMemory); err == nil { // else it has ended
			sum += held
		}
	}
	return sum, nil
}

// define installs packs with so many actions in all.
func (in *instance) define(ctx context.Context, actions int) error {
	for n := 0; n < actions; n += packActions {
		name := "idle" + strconv.Itoa(n)
		files := map[string]string{
			"pack.yaml":       "name: " + name + "\nversion: 1.0.0\ndescription: Actions that nobody runs.\n",
			"actions/nothing": "#!/bin/sh\n",
		}
		for i := range min(packActions, actions-n) {
			files[fmt.Sprintf("actions/a%d.yaml", i)] = "description: Nothing.\nruntime: shell\nentry_point: nothing\nconcurrency:\n  limit: 1\n"
		}
		folder := filepath.Join(in.dir, name)
		if err := writeFiles(folder, files); err != nil {
			return err
		}
		if err := in.installFolder(ctx, folder); err != nil {
			return err
		}
	}
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
