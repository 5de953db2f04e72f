package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

// watchInstall shows how far an installation is until it has ended on every runner, and ends as it did.
func watchInstall(ctx context.Context, s *session, name, runner string) error {
	show := (&installLines{s: s, said: map[string]string{}}).show
	if s.person() {
		show = newScreen(s.view, showStatus).draw
	}
	end := installEnd{}
	err := watch(ctx, s, func(ctx context.Context, c *client.Client) (api.PackStatus, error) {
		status, err := c.PackStatus(ctx, name)
		status.Runners = runnersNamed(status.Runners, runner)
		return status, err
	}, func(status api.PackStatus, err error) error {
		if errShow := show(status, err); errShow != nil || err != nil {
			return errShow
		}
		return end.judge(status)
	})
	switch {
	case errors.Is(err, errInstalled):
		return nil
	case ctx.Err() != nil:
		return WithExit(hinted(errors.New("stopped watching; what is being installed goes on"), "watch it again: attune pack status "+name+" --watch"), ExitInterrupted)
	}
	return err
}

// errInstalled ends the watching of what every runner has.
var errInstalled = errors.New("installed")

// watched gives the version that is watched: the newest while it is on its way, waits or has failed, and otherwise the
// one in service.
func watched(p api.PackStatus) (v api.PackVersion, some bool) {
	i := slices.IndexFunc(p.Versions, func(v api.PackVersion) bool { return v.State == api.PackActive })
	if p.State != api.PackActive {
		i = 0
	}
	if i < 0 || i >= len(p.Versions) {
		return v, false
	}
	return p.Versions[i], true
}

// crewOf gives the runners that make a version ready ahead of time, as they are in this try of it: what one could not do
// in an earlier try it has yet to do.
func crewOf(p api.PackStatus, v api.PackVersion) []api.PackRunner {
	var crew []api.PackRunner
	for _, r := range p.Runners {
		if r.Digest != v.Digest || !r.Installs || r.Draining {
			continue
		}
		if r.Status != streams.Installed && r.Generation < v.Generation {
			r.Status, r.Step, r.Error, r.Seconds = streams.NotInstalled, "", "", nil
		}
		crew = append(crew, r)
	}
	return crew
}

// installEnd tells when an installation has ended.
type installEnd struct {
	alone int // looks in a row that found no runner
}

// aloneLooks is how often nobody is found before it is believed that there is nobody: runners hear of a version only
// after it is recorded.
const aloneLooks = 3

// judge gives nil while something is to come, errInstalled once every runner has the version, and otherwise why not.
func (e *installEnd) judge(p api.PackStatus) error {
	v, some := watched(p)
	if !some {
		return nil // a copy of the API that lags does not know it yet
	}
	if v.State == api.PackFailed {
		return WithExit(fmt.Errorf("pack %s %s is not in service: %s", p.Name, v.Version, failureOf(v)), ExitFailed)
	}
	crew := crewOf(p, v)
	if e.alone++; len(crew) > 0 {
		e.alone = 0
	}
	var failed []string
	for _, r := range crew {
		switch r.Status {
		case streams.Installed:
		case streams.InstallError:
			failed = append(failed, r.Runner+": "+r.Error)
		case streams.NotInstalled, streams.Installing:
			return nil
		}
	}
	switch {
	case v.State == api.PackBuilding, e.alone > 0 && e.alone < aloneLooks:
		return nil
	case len(failed) > 0:
		return WithExit(fmt.Errorf("pack %s %s is not on every runner: %s", p.Name, v.Version, strings.Join(failed, "; ")), ExitFailed)
	}
	return errInstalled
}

// installLines prints what changes as lines, or the whole as a document after each change.
type installLines struct {
	s    *session
	said map[string]string // of the version under "", and of each runner, what was said last
	away bool              // it was said that there is no answer
}

func (l *installLines) show(p api.PackStatus, err error) error {
	if err != nil {
		if !l.away {
			PrintError(l.s.errw, err)
		}
		l.away = true
		return nil
	}
	l.away = false
	news := l.news(p)
	if len(news) == 0 {
		return nil
	}
	return stream(l.s.view, p, func(api.PackStatus) string { return strings.Join(news, "\n") })
}

func (l *installLines) news(p api.PackStatus) (lines []string) {
	v, some := watched(p)
	if !some {
		return nil
	}
	say := func(who, line string) {
		if l.said[who] != line {
			l.said[who] = line
			lines = append(lines, line)
		}
	}
	say("", p.Name+" "+v.Version+gap+l.s.paint.pack(v.State))
	for _, r := range crewOf(p, v) {
		if r.Status != streams.Installed {
			r.Seconds = nil // it would be news all the time
		}
		say(r.Runner, runnerLine(l.s.paint, r))
	}
	return lines
}
