package installer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/placement"
	"github.com/attune/attune/streams"
)

// Verdict is what is to be done about a version that is on its way.
type Verdict string

// The verdicts.
const (
	Wait   Verdict = "wait"
	Serve  Verdict = "switch" // put it in service
	Ready  Verdict = "ready"  // all have it, and it waits for a word
	GiveUp Verdict = "fail"
)

// Decision is a verdict, with the reason for giving up.
type Decision struct {
	Verdict Verdict
	Failure definitions.Failure
}

// Situation is what a decision is made of.
type Situation struct {
	Version  definitions.Version
	Pack     pack.Pack
	Runners  []streams.RunnerInfo           // all that live
	Reports  map[string]streams.Environment // about this version, by runner
	Guess    bool                           // who lives may not be known yet: somebody has to be there before anything is decided
	Now      time.Time
	Patience time.Duration // how long a runner may take
}

// Pools are those whose runners run the pack's actions, in order.
func Pools(p pack.Pack) []string {
	pools := make([]string, 0, 1)
	for _, a := range p.Actions {
		pools = append(pools, cmp.Or(a.Pool, pack.DefaultPool))
	}
	slices.Sort(pools)
	return slices.Compact(pools)
}

// Decide tells what is to be done. It depends on nothing but the situation, and not on the order of the runners.
func Decide(s Situation) Decision {
	if s.Version.Switch == definitions.SwitchNow {
		return Decision{Verdict: Serve}
	}
	crew := s.crew()
	if len(crew) == 0 && s.Guess {
		return Decision{Verdict: Wait}
	}
	if why := unfit(s.Pack, crew); why != "" {
		return Decision{Verdict: GiveUp, Failure: definitions.Failure{Error: why}}
	}
	return s.count(crew).decide(s.Version.Switch)
}

// crew are the runners that matter, in the order of their names: those of the pack's pools that take work.
func (s Situation) crew() []streams.RunnerInfo {
	pools := Pools(s.Pack)
	var crew []streams.RunnerInfo
	for _, r := range s.Runners {
		if !r.Draining && slices.Contains(pools, r.Pool) {
			crew = append(crew, r)
		}
	}
	slices.SortFunc(crew, func(a, b streams.RunnerInfo) int { return cmp.Compare(a.Name, b.Name) })
	return crew
}

// tally is how far the crew is.
type tally struct {
	installed, pending int
	failures           []definitions.Failure
}

func (s Situation) count(crew []streams.RunnerInfo) tally {
	var t tally
	for _, r := range crew {
		if !r.Installs {
			continue // it makes things ready when it comes to them
		}
		report, known := s.Reports[r.Name]
		failure, failed := s.failure(r, report)
		switch {
		case known && report.Status == streams.Installed:
			t.installed++
		case failed:
			t.failures = append(t.failures, failure)
		default:
			t.pending++
		}
	}
	return t
}

// failure tells whether a runner that does not have the version will not have it in this try.
func (s Situation) failure(r streams.RunnerInfo, report streams.Environment) (definitions.Failure, bool) {
	current := report.Generation >= s.Version.Generation
	began := latest(s.Version.RequestedAt, r.StartedAt)
	if current {
		began = latest(began, report.StartedAt)
	}
	f := definitions.Failure{Runner: r.Name}
	switch {
	case current && report.Status == streams.InstallError:
		f.Error, f.Tail = cmp.Or(report.Error, "the runner does not say why"), report.Tail
		return f, true
	case s.Now.Sub(began) < s.Patience:
		return f, false
	case current && report.Status == streams.Installing:
		f.Error = fmt.Sprintf("not ready within %s; the runner was at: %s", s.Patience, cmp.Or(report.Step, "the beginning"))
	default:
		f.Error = fmt.Sprintf("the runner has reported nothing within %s", s.Patience)
	}
	return f, true
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (t tally) decide(when definitions.Switch) Decision {
	enough := t.pending == 0 && len(t.failures) == 0
	hopeless := len(t.failures) > 0
	if when == definitions.SwitchAny {
		enough = enough || t.installed > 0
		hopeless = t.pending == 0
	}
	switch {
	case enough && when == definitions.SwitchNever:
		return Decision{Verdict: Ready}
	case enough:
		return Decision{Verdict: Serve}
	case hopeless:
		return Decision{Verdict: GiveUp, Failure: t.failures[0]}
	}
	return Decision{Verdict: Wait}
}

// unfit says which action no runner of its pool can run, or nothing. A pool without a runner is not judged, and
// neither is an action that may wait for one that can.
func unfit(p pack.Pack, crew []streams.RunnerInfo) string {
	for _, a := range p.Actions {
		if a.RunsOn.IfNone == pack.IfNoneWait {
			continue
		}
		if lacks := lacking(placement.Of(p.Runtime, a), crew); lacks != nil {
			return fmt.Sprintf("no runner of pool %s can run action %s: %s", cmp.Or(a.Pool, pack.DefaultPool), a.Name, summary(lacks))
		}
	}
	return ""
}

// lacking says of each runner of the pool what it lacks. It is nil when one has everything, or there is none.
func lacking(want streams.Placement, crew []streams.RunnerInfo) (lacks []string) {
	for _, r := range crew {
		if r.Pool != want.Pool {
			continue
		}
		missing := placement.Missing(want, r)
		if len(missing) == 0 {
			return nil
		}
		lacks = append(lacks, r.Name+" lacks "+placement.Describe(missing))
	}
	return lacks
}

// maxNamed bounds how many runners a message names.
const maxNamed = 5

func summary(lacks []string) string {
	if more := len(lacks) - maxNamed; more > 0 {
		lacks = append(slices.Clone(lacks[:maxNamed]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lacks, "; ")
}
