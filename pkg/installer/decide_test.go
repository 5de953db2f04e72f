package installer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

const patience = 10 * time.Minute

// scene is a situation with short words.
type scene struct {
	when    definitions.Switch
	runtime string // of the one action; "" is none
	runners map[string]string
	guess   bool
	tries   int
}

// runner reads "pool words...": draining, lazy (installs nothing ahead), old (started long ago), python, and what it
// reports: installed, installing, failed; of the try before with "stale".
func (s scene) situation() Situation {
	out := Situation{
		Version:  definitions.Version{Pack: "p", Digest: "d", Switch: s.when, Generation: max(1, s.tries), RequestedAt: noon.Add(-time.Minute)},
		Reports:  map[string]streams.Environment{},
		Guess:    s.guess,
		Now:      noon,
		Patience: patience,
	}
	if s.runtime != "" {
		out.Pack.Actions = []pack.Action{{Name: "a", Runtime: s.runtime}}
		out.Pack.Runtime = map[string]string{"python": ">=3.9"}
	}
	for name, words := range s.runners {
		out.add(name, strings.Fields(words))
	}
	return out
}

func (s *Situation) add(name string, words []string) {
	r := streams.RunnerInfo{Name: name, Pool: words[0], Installs: true, StartedAt: noon.Add(-time.Hour)}
	e := streams.Environment{Generation: s.Version.Generation, Runner: name}
	for _, word := range words[1:] {
		switch word {
		case "draining":
			r.Draining = true
		case "lazy":
			r.Installs = false
		case "python":
			r.Runtimes = append(r.Runtimes, streams.Runtime{Name: "python", Version: "3.11.2"})
		case "python2":
			r.Runtimes = append(r.Runtimes, streams.Runtime{Name: "python", Version: "2.7.18"})
		case "stale":
			e.Generation--
		case "late":
			s.Version.RequestedAt = noon.Add(-time.Hour)
		case "fresh":
			r.StartedAt = noon.Add(-time.Second)
		case "installed", "installing", "failed":
			e.Status, e.Error, e.Tail = streams.InstallStatus(word), "pip ended with status 1", []string{"no such wheel"}
		}
	}
	s.Runners = append(s.Runners, r)
	if e.Status != "" {
		s.Reports[name] = e
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const all, anyOne, now, never = definitions.SwitchAll, definitions.SwitchAny, definitions.SwitchNow, definitions.SwitchNever
	type runners = map[string]string
	for name, tt := range map[string]struct {
		scene
		want Verdict
		says string // part of the reason
	}{
		"a pack without actions needs no runner": {scene{when: all, runners: runners{"r": "default"}}, Serve, ""},
		"nobody lives":                           {scene{when: all, runtime: "python"}, Serve, ""},
		"nobody lives, as far as it is known":    {scene{when: all, runtime: "shell", guess: true}, Wait, ""},
		"somebody lives, as far as it is known":  {scene{when: all, runtime: "shell", guess: true, runners: runners{"r": "default installed"}}, Serve, ""},
		"nobody of the pool lives":               {scene{when: all, runtime: "python", runners: runners{"r": "other"}}, Serve, ""},
		"one has said nothing":                   {scene{when: all, runtime: "shell", runners: runners{"r": "default"}}, Wait, ""},
		"one is at work":                         {scene{when: all, runtime: "shell", runners: runners{"r": "default installing"}}, Wait, ""},
		"one has it":                             {scene{when: all, runtime: "shell", runners: runners{"r": "default installed"}}, Serve, ""},
		"one of two has it":                      {scene{when: all, runtime: "shell", runners: runners{"r": "default installed", "s": "default"}}, Wait, ""},
		"one of two has it, the other leaves":    {scene{when: all, runtime: "shell", runners: runners{"r": "default installed", "s": "default draining"}}, Serve, ""},
		"one of two has it, the other is lazy":   {scene{when: all, runtime: "shell", runners: runners{"r": "default installed", "s": "default lazy"}}, Serve, ""},
		"all are lazy":                           {scene{when: all, runtime: "shell", runners: runners{"r": "default lazy", "s": "default lazy"}}, Serve, ""},
		"one failed":                             {scene{when: all, runtime: "shell", runners: runners{"r": "default failed", "s": "default installed"}}, GiveUp, "pip"},
		"one failed in the try before":           {scene{when: all, runtime: "shell", tries: 2, runners: runners{"r": "default stale failed"}}, Wait, ""},
		"one has it since the try before":        {scene{when: all, runtime: "shell", tries: 2, runners: runners{"r": "default stale installed"}}, Serve, ""},
		"one never reports":                      {scene{when: all, runtime: "shell", runners: runners{"r": "default late"}}, GiveUp, "reported nothing within 10m0s"},
		"one is at work for too long":            {scene{when: all, runtime: "shell", runners: runners{"r": "default late installing"}}, GiveUp, "not ready within 10m0s"},
		"one came a moment ago":                  {scene{when: all, runtime: "shell", runners: runners{"r": "default late fresh"}}, Wait, ""},
		"any: one of two has it":                 {scene{when: anyOne, runtime: "shell", runners: runners{"r": "default installed", "s": "default"}}, Serve, ""},
		"any: one of two failed":                 {scene{when: anyOne, runtime: "shell", runners: runners{"r": "default failed", "s": "default"}}, Wait, ""},
		"any: both failed":                       {scene{when: anyOne, runtime: "shell", runners: runners{"r": "default failed", "s": "default failed"}}, GiveUp, "pip"},
		"any: nobody installs":                   {scene{when: anyOne, runtime: "shell", runners: runners{"r": "default lazy"}}, Serve, ""},
		"now: whoever has what":                  {scene{when: now, runtime: "python", guess: true, runners: runners{"r": "default failed"}}, Serve, ""},
		"never: all have it":                     {scene{when: never, runtime: "shell", runners: runners{"r": "default installed"}}, Ready, ""},
		"never: one is at work":                  {scene{when: never, runtime: "shell", runners: runners{"r": "default installing"}}, Wait, ""},
		"never: one failed":                      {scene{when: never, runtime: "shell", runners: runners{"r": "default failed"}}, GiveUp, "pip"},
		"nobody has the runtime":                 {scene{when: all, runtime: "python", runners: runners{"r": "default lazy"}}, GiveUp, "r lacks python >=3.9"},
		"nobody has the version":                 {scene{when: anyOne, runtime: "python", runners: runners{"r": "default python2", "s": "default"}}, GiveUp, "r lacks python >=3.9 (has 2.7.18); s lacks python >=3.9"},
		"one of two has the runtime":             {scene{when: all, runtime: "python", runners: runners{"r": "default python installed", "s": "default installed"}}, Serve, ""},
		"who has the runtime leaves":             {scene{when: all, runtime: "python", runners: runners{"r": "default python draining", "s": "default installed"}}, GiveUp, "s lacks"},
		"who has the runtime is in another pool": {scene{when: all, runtime: "python", runners: runners{"r": "other python", "s": "default installed"}}, GiveUp, "no runner of pool default can run action a"},
	} {
		got := Decide(tt.situation())
		if got.Verdict != tt.want || !strings.Contains(got.Failure.Error, tt.says) || (got.Verdict == GiveUp) != (got.Failure.Error != "") {
			t.Errorf("%s: %+v, want %s that says %q", name, got, tt.want, tt.says)
		}
	}
}

func TestAFailureNamesTheRunnerAndItsLastLines(t *testing.T) {
	t.Parallel()
	d := Decide(scene{when: definitions.SwitchAll, runtime: "shell", runners: map[string]string{"b": "default failed", "a": "default failed"}}.situation())
	if d.Failure.Runner != "a" || len(d.Failure.Tail) != 1 || d.Failure.Tail[0] != "no such wheel" {
		t.Errorf("%+v", d)
	}
}

func TestAnActionThatMayWaitForARunnerFailsNothing(t *testing.T) {
	t.Parallel()
	s := scene{when: definitions.SwitchAll, runtime: "python", runners: map[string]string{"r": "default installed"}}.situation()
	s.Pack.Actions[0].RunsOn.IfNone = pack.IfNoneWait
	if d := Decide(s); d.Verdict != Serve {
		t.Errorf("%+v", d)
	}
	s.Pack.Actions[0].RunsOn = pack.RunsOn{Labels: map[string]string{"gpu": "a"}}
	s.Pack.Actions[0].Runtime = "shell"
	if d := Decide(s); d.Verdict != GiveUp || !strings.Contains(d.Failure.Error, "label gpu=a") {
		t.Errorf("%+v", d)
	}
}

func TestManyRunnersAreNotAllNamed(t *testing.T) {
	t.Parallel()
	all := map[string]string{}
	for i := range 9 {
		all[fmt.Sprintf("r%d", i)] = "default"
	}
	d := Decide(scene{when: definitions.SwitchAll, runtime: "python", runners: all}.situation())
	if !strings.HasSuffix(d.Failure.Error, "r4 lacks python >=3.9; and 4 more") {
		t.Errorf("%+v", d)
	}
}

// anything draws a situation.
func anything(t *rapid.T) Situation {
	words := rapid.SliceOfN(rapid.SampledFrom([]string{"draining", "lazy", "python", "stale", "fresh", "installed", "installing", "failed"}), 0, 4)
	s := scene{
		when: rapid.SampledFrom(definitions.Switches()).Draw(t, "switch"), runtime: rapid.SampledFrom([]string{"", "shell", "python"}).Draw(t, "runtime"),
		guess: rapid.Bool().Draw(t, "guess"), tries: 2, runners: map[string]string{},
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "runners") {
		pool := rapid.SampledFrom([]string{"default", "default", "other"}).Draw(t, "pool")
		s.runners[fmt.Sprintf("r%d", i)] = pool + " " + strings.Join(words.Draw(t, "words"), " ")
	}
	return s.situation()
}

func TestDecisionsHoldWhatTheyPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := anything(t)
		d := Decide(s)
		shuffled := s
		shuffled.Runners = append([]streams.RunnerInfo(nil), s.Runners...)
		rand.Shuffle(len(shuffled.Runners), func(i, j int) {
			shuffled.Runners[i], shuffled.Runners[j] = shuffled.Runners[j], shuffled.Runners[i]
		})
		if again := Decide(shuffled); again.Verdict != d.Verdict || again.Failure.Error != d.Failure.Error || again.Failure.Runner != d.Failure.Runner {
			t.Fatalf("in another order of runners it is %+v, not %+v", again, d)
		}
		if (d.Verdict == GiveUp) != (d.Failure.Error != "") {
			t.Fatalf("a failure without a reason, or a reason without a failure: %+v", d)
		}
		if (d.Verdict == Ready) && s.Version.Switch != definitions.SwitchNever || d.Verdict == Serve && s.Version.Switch == definitions.SwitchNever {
			t.Fatalf("%s leads to %s", s.Version.Switch, d.Verdict)
		}
		late := s
		late.Now, late.Guess = s.Now.Add(2*patience), false
		if final := Decide(late); final.Verdict == Wait {
			t.Fatalf("after all patience it still waits: %+v", s)
		}
		if s.Version.Switch == definitions.SwitchAll && d.Verdict == Serve {
			for _, r := range s.crew() {
				if r.Installs && s.Reports[r.Name].Status != streams.Installed {
					t.Fatalf("in service without %s: %+v", r.Name, s)
				}
			}
		}
	})
}
