package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/source"
	"github.com/attune/attune/streams"
)

// installing is what a user says of how a pack is installed.
type installing struct {
	when    string
	noWait  bool
	timeout time.Duration
}

var switches = []string{api.SwitchAll, api.SwitchAny, api.SwitchNow, api.SwitchNever}

func (i *installing) flags(c *cobra.Command) {
	c.Flags().StringVar(&i.when, "switch", api.SwitchAll, "when the version goes in service: all (living runners have it ready), any (one has), now, never (but for: attune pack switch)")
	c.Flags().BoolVar(&i.noWait, "no-wait", false, "do not wait until it is in service; see it with: attune pack status")
	c.Flags().DurationVar(&i.timeout, "timeout", 0, "wait no longer than this; the installation goes on")
	must(c.RegisterFlagCompletionFunc("switch", cobra.FixedCompletions(switches, cobra.ShellCompDirectiveNoFileComp)))
}

// run installs a pack and says what became of it.
func (i *installing) run(ctx context.Context, s *session, found source.Checked) error {
	done, err := s.api.StartInstall(ctx, found.Archive, client.Install{Switch: i.when, Origin: found.Origin})
	if err != nil {
		return s.notInstalled(err)
	}
	if !i.noWait {
		if done, err = i.await(ctx, s, done); err != nil {
			return err
		}
	}
	return s.said(done, "%s", installedText(done))
}

// await waits for the version to be in service, and draws how far the runners are.
func (i *installing) await(ctx context.Context, s *session, started api.PackInstalled) (api.PackInstalled, error) {
	waiting := ctx
	if i.timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, i.timeout)
		defer cancel()
	}
	board := newBoard(s)
	done, err := s.api.AwaitInstall(waiting, started, board.show(started.Digest))
	board.done()
	switch {
	case err == nil:
		return done, nil
	case ctx.Err() == nil && waiting.Err() == nil:
		return done, s.notInstalled(err)
	}
	name := started.Name
	hints := []string{"see how far it is: attune pack status " + name, "follow it:         attune pack status " + name + " -f"}
	if ctx.Err() != nil {
		return done, WithExit(hinted(fmt.Errorf("stopped waiting; pack %s %s goes on being installed", name, started.Version), hints...), ExitInterrupted)
	}
	return done, WithExit(hinted(fmt.Errorf("pack %s %s is not in service after %s; its installation goes on", name, started.Version, i.timeout), hints...), ExitUnknown)
}

// notInstalled tells a person why a version did not come in service, and shows a script the version.
func (s *session) notInstalled(err error) error {
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || p.Code != api.CodeInstallFailed || p.Install == nil {
		return err
	}
	if s.format != formatTable {
		if err := s.data(p.Install); err != nil {
			return err
		}
	}
	text := p.Detail
	if len(p.Install.Tail) > 0 {
		text += "\n  " + strings.Join(p.Install.Tail, "\n  ")
	}
	return hinted(errors.New(text), "what was in service before still is; to try again, install it again")
}

// board draws a line for each runner while a person waits for them. Elsewhere it draws nothing.
type board struct {
	s      *session
	on     bool
	canvas canvas
}

func newBoard(s *session) *board {
	return &board{s: s, on: isTerminal(s.errw) && s.format == formatTable, canvas: canvas{w: s.errw}}
}

// show gives what draws the state of one version.
func (b *board) show(digest string) func(api.PackStatus) {
	if !b.on {
		return nil
	}
	p := newPaint(b.s.errw)
	return func(status api.PackStatus) {
		var lines []string
		for _, r := range status.Runners {
			if r.Digest == digest && r.Installs {
				lines = append(lines, runnerLine(p, r))
			}
		}
		if len(lines) == 0 {
			return
		}
		width, height := terminalSize(b.s.errw)
		_ = b.canvas.replace(fitting(strings.Join(lines, "\n"), width, height-1), width) // a terminal that has gone is noticed by the next output
	}
}

func (b *board) done() {
	if b.on && b.canvas.drawn > 0 {
		_ = b.canvas.replace(nil, b.canvas.width) // as above
	}
}

func runnerLine(p paint, r api.PackRunner) string {
	state := first(oneLine(r.Step), "waits")
	switch r.Status {
	case streams.Installed:
		state = p.good("installed")
	case streams.InstallError:
		state = p.bad("failed: " + oneLine(r.Error))
	case streams.Installing:
		state = p.busy(state)
	case streams.NotInstalled:
	}
	if r.Seconds == nil {
		return r.Runner + gap + state
	}
	return r.Runner + gap + state + gap + p.dim(seconds(*r.Seconds))
}

func installedText(p api.PackInstalled) string {
	name := "pack " + p.Name + " " + p.Version
	switch {
	case p.State == api.PackBuilding:
		return name + " is being installed; see how far it is: attune pack status " + p.Name
	case p.State == api.PackReady:
		return name + " is ready; put it in service: attune pack switch " + p.Name
	case p.Change == "unchanged":
		return name + " was installed already; nothing has changed"
	case p.Change == "upgraded" && p.Was != "" && p.Was != p.Version:
		return name + " is installed in place of " + p.Was + ": " + contents(p.Pack)
	case p.Change == "upgraded":
		return name + " is installed in place of another of this version: " + contents(p.Pack)
	}
	return name + " is installed: " + contents(p.Pack)
}
