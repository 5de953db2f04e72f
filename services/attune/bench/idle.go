package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/attune/bench/figure"
)

// packActions is how many actions a pack of this measurement has.
const packActions = 500

// Linux's units in /proc.
const (
	ticksPerSecond = 100
	parentField    = 1 // after the name
	userField      = 11
	systemField    = 12
)

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
		_, archive, err := pack.Archive(folder)
		if err != nil {
			return err
		}
		if _, err := in.api.InstallPack(ctx, archive, "bench"); err != nil {
			return fmt.Errorf("install actions from %d on: %w", n, err)
		}
	}
	return nil
}

func writeIdlePack(folder, name string, actions int) error {
	if err := os.MkdirAll(filepath.Join(folder, "actions"), 0o755); err != nil {
		return err
	}
	files := map[string]string{
		"pack.yaml":       "name: " + name + "\nversion: 1.0.0\ndescription: Actions that nobody runs.\n",
		"actions/nothing": "#!/bin/sh\n",
	}
	for i := range actions {
		files[fmt.Sprintf("actions/a%d.yaml", i)] = "description: Nothing.\nruntime: shell\nentry_point: nothing\nconcurrency:\n  limit: 1\n"
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// rest measures all processes of the instance.
func (in *instance) rest(ctx context.Context, run *figure.Run, settle, window time.Duration) error {
	if err := doNothing(ctx, settle); err != nil {
		return err
	}
	own, others := in.ticks()
	if err := doNothing(ctx, window); err != nil {
		return err
	}
	ownAfter, othersAfter := in.ticks()
	share := func(ticks int) float64 { return 100 * float64(ticks) / ticksPerSecond / window.Seconds() }
	run.Add(figure.Figure{Name: "Attune, of a processor", Unit: "%"}, share(ownAfter-own))
	run.Add(figure.Figure{Name: "PostgreSQL and others, of a processor", Unit: "%"}, share(othersAfter-others))
	run.Add(figure.Figure{Name: "Attune, memory", Unit: "MB"}, float64(residentMB(in.process.Process.Pid)))
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

// ticks gives the processor time of attune and of the processes that it started.
func (in *instance) ticks() (own, others int) {
	root := in.process.Process.Pid
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0
	}
	parents, used := map[int]int{}, map[int]int{}
	for _, file := range all {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file))) // the pattern asks for digits
		parents[pid], used[pid] = readStat(file)
	}
	for pid, n := range used {
		switch {
		case pid == root:
			own = n
		case descends(parents, pid, root):
			others += n
		}
	}
	return own, others
}

func readStat(file string) (parent, ticks int) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, 0 // it has ended
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) <= systemField {
		return 0, 0
	}
	parent, _ = strconv.Atoi(fields[parentField]) // the kernel writes numbers
	user, _ := strconv.Atoi(fields[userField])
	system, _ := strconv.Atoi(fields[systemField])
	return parent, user + system
}

func descends(parents map[int]int, pid, root int) bool {
	for pid > 1 {
		if pid = parents[pid]; pid == root {
			return true
		}
	}
	return false
}

func residentMB(pid int) int {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1]) // the kernel writes numbers
	return pages * os.Getpagesize() >> 20
}
