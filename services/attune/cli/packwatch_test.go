package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

// statusOf is that of version 2 of a pack, in its second try.
func statusOf(state string, runners ...api.PackRunner) api.PackStatus {
	p := api.PackStatus{Name: "github", State: state, Runners: runners, Versions: []api.PackVersion{
		{Version: "2", Digest: "d2", State: state, Generation: 2}, {Version: "1", Digest: "d1", State: "kept"},
	}}
	if state == api.PackFailed {
		p.Versions[0].Runner, p.Versions[0].Error = "web1", "pip: exit status 1"
	}
	return p
}

func runnerOf(name string, status streams.InstallStatus, change ...func(*api.PackRunner)) api.PackRunner {
	r := api.PackRunner{Installs: true, Environment: streams.Environment{Runner: name, Digest: "d2", Generation: 2, Status: status}}
	switch status {
	case streams.Installing:
		r.Step = "venv"
	case streams.InstallError:
		r.Error = "no space"
	case streams.Installed, streams.NotInstalled:
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func TestAnInstallationEndsOnEveryRunner(t *testing.T) {
	t.Parallel()
	const goesOn, done = "", "installed"
	older := func(r *api.PackRunner) { r.Generation = 1 }
	leaves := func(r *api.PackRunner) { r.Draining = true }
	lazy := func(r *api.PackRunner) { r.Installs = false }
	other := func(r *api.PackRunner) { r.Digest = "d1" }
	for name, c := range map[string]struct {
		status api.PackStatus
		want   string
	}{
		"one is at work":                   {statusOf(api.PackBuilding, runnerOf("a", streams.Installed), runnerOf("b", streams.Installing)), goesOn},
		"all have it, nobody has switched": {statusOf(api.PackBuilding, runnerOf("a", streams.Installed)), goesOn},
		"one failed, nobody has judged":    {statusOf(api.PackBuilding, runnerOf("a", streams.InstallError)), goesOn},
		"all have it":                      {statusOf(api.PackActive, runnerOf("a", streams.Installed), runnerOf("b", streams.Installed, older)), done},
		"it waits for a switch":            {statusOf(api.PackReady, runnerOf("a", streams.Installed)), done},
		"in service before all have it":    {statusOf(api.PackActive, runnerOf("a", streams.Installed), runnerOf("b", streams.NotInstalled)), goesOn},
		"failed in an earlier try":         {statusOf(api.PackActive, runnerOf("a", streams.InstallError, older)), goesOn},
		"failed where it is in service":    {statusOf(api.PackActive, runnerOf("a", streams.Installed), runnerOf("b", streams.InstallError)), "pack github 2 is not on every runner: b: no space"},
		"failed":                           {statusOf(api.PackFailed, runnerOf("a", streams.Installing)), "pack github 2 is not in service: web1: pip: exit status 1"},
		"who does not matter": {statusOf(api.PackActive, runnerOf("a", streams.Installed), runnerOf("b", streams.Installing, leaves),
			runnerOf("c", streams.NotInstalled, lazy), runnerOf("d", streams.Installing, other)), done},
		"not known yet": {api.PackStatus{Name: "github", State: api.PackActive}, goesOn},
	} {
		got := ""
		err := (&installEnd{}).judge(c.status)
		if err != nil {
			got = err.Error()
		}
		if got != c.want || err != nil && !errors.Is(err, errInstalled) && ExitCode(err) != ExitFailed {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestNobodyIsBelievedOnlyAfterAWhile(t *testing.T) {
	t.Parallel()
	var e installEnd
	var got []bool
	for _, p := range []api.PackStatus{
		statusOf(api.PackActive), statusOf(api.PackActive), statusOf(api.PackActive, runnerOf("a", streams.Installing)), // they had not heard of it
		statusOf(api.PackActive), statusOf(api.PackActive), statusOf(api.PackActive),
	} {
		got = append(got, errors.Is(e.judge(p), errInstalled))
	}
	if diff := cmp.Diff([]bool{false, false, false, false, false, true}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyWhatChangesIsALine(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	l := installLines{s: &session{view: &view{out: &out, format: formatTable}, errw: &errs}, said: map[string]string{}}
	took := 3.0
	lasts := func(r *api.PackRunner) { r.Seconds = &took }
	show := func(p api.PackStatus, err error) {
		t.Helper()
		if err := l.show(p, err); err != nil {
			t.Fatal(err)
		}
		took++
	}
	show(statusOf(api.PackBuilding, runnerOf("a", streams.Installing, lasts), runnerOf("b", streams.NotInstalled)), nil)
	show(statusOf(api.PackBuilding, runnerOf("a", streams.Installing, lasts), runnerOf("b", streams.NotInstalled)), nil)
	show(api.PackStatus{}, client.ErrUnreachable)
	show(api.PackStatus{}, client.ErrUnreachable)
	show(statusOf(api.PackActive, runnerOf("a", streams.Installed, lasts), runnerOf("b", streams.InstallError)), nil)
	want := "github 2  building\na  venv\nb  waits\ngithub 2  active\na  installed  7s\nb  failed: no space\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(errs.String(), "the API cannot be reached"); n != 1 {
		t.Errorf("said %d times that it is away: %s", n, errs.String())
	}
}
