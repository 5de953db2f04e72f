package main

import (
	"context"
	"flag"
	"path/filepath"
	"strings"
	"time"

	"github.com/attune/attune/services/attune/bench/figure"
)

// relaxed is the setting with which servers acknowledge what is not on disk yet.
const relaxed = "ATTUNE_SYNC=interval"

// ratePlot compares all rates.
var ratePlot = figure.Plot{Name: "throughput", Title: "Executions of core.noop's program per second", Y: "executions per second"}

// throughput is the measurement of executions per second.
type throughput struct {
	*session
	executions int
	noop, tiny string // programs: that of core.noop, and the one of a few instructions
	sites      []*throughputSite
}

// throughputSite is an instance, and a bare loop on a NATS server that syncs as the instance's does.
type throughputSite struct {
	name, settings string
	instance       *instance
	bare           *bareBus
}

// throughputMode compares with the bare loops. Everything is measured in every round.
func throughputMode(f *flag.FlagSet) measure {
	executions := f.Int("executions", 2000, "executions of each kind in each round")
	return func(ctx context.Context, s *session) (err error) {
		t := &throughput{session: s, executions: *executions}
		defer func() { err = keep(err, t.stop()) }()
		if err := t.open(ctx, "sync", ""); err != nil {
			return err
		}
		if err := t.open(ctx, "no sync", relaxed); err != nil {
			return err
		}
		t.noop, t.tiny = t.sites[0].instance.noop, t.sites[0].instance.tiny
		return s.each(func(int) error { return t.round(ctx) })
	}
}

func (t *throughput) open(ctx context.Context, name, settings string) error {
	site := &throughputSite{name: name, settings: settings}
	t.sites = append(t.sites, site)
	var err error
	sync := "always"
	var env []string
	if settings != "" {
		sync, env = "interval", []string{settings}
	}
	if site.instance, err = t.start(ctx, "attune-"+sync, env...); err != nil {
		return err
	}
	if site.bare, err = startBareBus(ctx, filepath.Join(t.dir, "attune-"+sync), sync); err != nil {
		return err
	}
	return site.instance.warmUp(ctx)
}

func (t *throughput) stop() (err error) {
	for _, s := range t.sites {
		if s.bare != nil {
			err = keep(err, s.bare.stop())
		}
		if s.instance != nil {
			err = keep(err, s.instance.stop())
		}
	}
	return err
}

// round measures every kind once.
func (t *throughput) round(ctx context.Context) error {
	noop, err := forkExec(ctx, t.noop, t.executions)
	if err != nil {
		return err
	}
	tiny, err := forkExec(ctx, t.tiny, t.executions)
	if err != nil {
		return err
	}
	t.addBare("fork and exec", "", noop)
	t.addBare("fork and exec of a static program", "", tiny)
	for _, s := range t.sites {
		if err := t.site(ctx, s, noop, tiny); err != nil {
			return err
		}
	}
	return nil
}

// site measures an instance and its bare loop.
func (t *throughput) site(ctx context.Context, s *throughputSite, noop, tiny bareOutcome) error {
	onBus, err := s.bare.forkExec(ctx, t.noop, t.executions)
	if err != nil {
		return err
	}
	t.addBare("JetStream loop", s.settings, onBus)
	for _, kind := range []struct {
		name     string
		triggers []string
		bare     bareOutcome
		bareName string
	}{
		{"core.noop", []string{triggerNoop}, noop, "fork and exec"},
		{"100 actions at limit 1", spreadTriggers(), noop, "fork and exec"},
		{"static program", []string{triggerTiny}, tiny, "fork and exec of a static program"},
	} {
		got, err := s.instance.burst(ctx, t.executions, kind.triggers...)
		if err != nil {
			return err
		}
		name := kind.name + suffix(s.settings)
		t.run.Ratio(name, "bare "+kind.bareName, got.rate, kind.bare.rate, s.settings)
		if kind.bareName == "fork and exec" {
			t.run.Ratio(name, "bare JetStream loop"+suffix(s.settings), got.rate, onBus.rate, s.settings)
		}
		t.run.Ratio(name+": processor time", "bare "+kind.bareName, float64(got.cost.all()), float64(kind.bare.cost), s.settings)
		t.add(name, s.settings, got)
	}
	return nil
}

// suffix tells figures of one kind with different settings apart.
func suffix(settings string) string {
	if settings == "" {
		return ""
	}
	return ", relaxed"
}

// bar draws a rate, unless it is of the static program: bare, it is many times as fast as all others.
func (t *throughput) bar(name string, rate float64) {
	if !strings.Contains(name, "static program") {
		t.run.Bar(ratePlot, name, rate)
	}
}

func (t *throughput) addBare(name, settings string, got bareOutcome) {
	name = "bare " + name + suffix(settings)
	t.bar(name, got.rate)
	t.run.Add(figure.Figure{Name: name, Unit: "/s", Settings: settings}, got.rate)
	t.run.Add(figure.Figure{Name: name + ": processor time of each", Unit: "µs", Settings: settings}, per(got.cost, t.executions))
}

func (t *throughput) add(name, settings string, got outcome) {
	t.bar(name, got.rate)
	for _, x := range []struct {
		name, unit string
		value      float64
	}{
		{"", "/s", got.rate},
		{": processor time of each, services", "µs", per(got.cost.services, t.executions)},
		{": processor time of each, PostgreSQL", "µs", per(got.cost.database, t.executions)},
		{": processor time of each, program", "µs", per(got.cost.actions, t.executions)},
		{": history complete after the last end", "ms", float64(got.lag) / float64(time.Millisecond)},
	} {
		t.run.Add(figure.Figure{Name: name + x.name, Unit: x.unit, Settings: settings}, x.value)
	}
}
