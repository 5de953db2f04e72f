package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func packStatus(a *app) *cobra.Command {
	var follow, watch bool
	l := client.InstallLog{Follow: true}
	c := command("status NAME [--watch|-f] [--runner R]", "Show a pack's versions and how far each runner is, or follow its installation",
		"attune pack status github\nattune pack status github --watch\nattune pack status github -f --runner web1", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			l.Pack = args[0]
			if follow {
				return followInstall(ctx, s, l)
			}
			if watch {
				return watchInstall(ctx, s, l.Pack, l.Runner)
			}
			status, err := s.api.PackStatus(ctx, args[0])
			if err != nil {
				return err
			}
			status.Runners = runnersNamed(status.Runners, l.Runner)
			return showOne(s.view, status, showStatus)
		}))
	c.Long = `Show a pack's versions and how far each runner is.

With --watch the view is drawn again each second until every runner has the version that is on its way, or else the one in
service, or cannot make it ready. It exits with 1 when the version failed, or is in service and failed on a runner. Without a
terminal it prints a line for each change, or with --output jsonl a document.

With -f it prints the log of the running (or last) installation until it has ended, that of --runner, or else of a runner
that failed or is at work, and exits with 1 when the version failed.`
	c.Flags().BoolVarP(&follow, "follow", "f", false, "print the log of the installation until it has ended")
	c.Flags().BoolVar(&watch, "watch", false, "go on showing it, each second, until it has ended on every runner")
	c.MarkFlagsMutuallyExclusive("follow", "watch")
	c.Flags().StringVar(&l.Runner, "runner", "", "only this runner's, by its name or the beginning of it")
	c.Flags().StringVar(&l.Version, "version", "", "with -f: of this version, or the beginning of its digest")
	must(c.RegisterFlagCompletionFunc("runner", a.completeAny(runnerNames)))
	return completing(c, a.complete(packNames))
}

func runnersNamed(all []api.PackRunner, name string) []api.PackRunner {
	mine := []api.PackRunner{}
	for _, r := range all {
		if strings.HasPrefix(r.Runner, name) {
			mine = append(mine, r)
		}
	}
	return mine
}

// followInstall prints the log of an installation, and then says how it ended.
func followInstall(ctx context.Context, s *session, l client.InstallLog) error {
	if err := s.api.InstallLog(ctx, l, s.out); err != nil {
		if ctx.Err() != nil {
			return WithExit(hinted(fmt.Errorf("stopped following; see it with: attune pack status %s", l.Pack)), ExitInterrupted)
		}
		return err
	}
	status, err := s.api.PackStatus(ctx, l.Pack)
	if err != nil {
		return err
	}
	if len(status.Versions) == 0 {
		return nil
	}
	switch v := status.Versions[0]; v.State {
	case api.PackFailed:
		return WithExit(fmt.Errorf("pack %s %s is not in service: %s", l.Pack, v.Version, v.Error), ExitFailed)
	default:
		s.note("pack %s %s: %s", l.Pack, v.Version, v.State)
	}
	return nil
}

func showStatus(s *sheet, p api.PackStatus) {
	s.field("pack", p.Name)
	s.painted("state", p.State, paint.pack)
	s.field("in service", p.Version)
	s.field("from", originOf(p))
	items(s, "versions", p.Versions, []column[api.PackVersion]{
		{title: "VERSION", cell: func(v api.PackVersion) string { return v.Version }},
		{title: "DIGEST", cell: func(v api.PackVersion) string { return shortDigest(v.Digest) }},
		{title: "STATE", cell: versionState, paint: paint.pack},
		{title: "ASKED FOR", cell: func(v api.PackVersion) string { return ago(s.now, v.RequestedAt) }},
		{title: "IN SERVICE SINCE", cell: func(v api.PackVersion) string { return inServiceSince(s.now, v) }},
		{title: "ERROR", cell: func(v api.PackVersion) string { return failureOf(v) }, flex: true},
	})
	items(s, "runners", p.Runners, []column[api.PackRunner]{
		{title: "RUNNER", cell: func(r api.PackRunner) string { return r.Runner }},
		{title: "VERSION", cell: func(r api.PackRunner) string { return r.PackVersion }},
		{title: "STATUS", cell: func(r api.PackRunner) string { return string(r.Status) }, paint: paint.pack},
		{title: "INSTALLED", cell: func(r api.PackRunner) string { return installedAgo(s.now, r) }},
		{title: "TOOK", cell: func(r api.PackRunner) string { return tookText(r.Seconds) }, number: true},
		{title: "ERROR", cell: func(r api.PackRunner) string { return first(r.Error, r.Step) }, flex: true},
	})
	if len(p.Versions) > 0 {
		if v := p.Versions[0]; v.State == api.PackFailed && len(v.Tail) > 0 {
			s.text("the last lines of "+v.Version+" on "+first(v.Runner, "a runner"), strings.Join(v.Tail, "\n"))
		}
	}
}

// originOf says where the version in service came from.
func originOf(p api.PackStatus) string {
	i := slices.IndexFunc(p.Versions, func(v api.PackVersion) bool { return v.State == api.PackActive })
	if i < 0 {
		return ""
	}
	return p.Versions[i].Origin
}

// shortDigest is as much of a digest as names a version.
func shortDigest(digest string) string { return digest[:min(12, len(digest))] }

func versionState(v api.PackVersion) string {
	if v.Previous {
		return v.State + ", previous"
	}
	return v.State
}

func inServiceSince(now time.Time, v api.PackVersion) string {
	if v.State != api.PackActive || v.SwitchedAt == nil {
		return ""
	}
	return ago(now, *v.SwitchedAt)
}

func failureOf(v api.PackVersion) string {
	if v.Runner == "" {
		return v.Error
	}
	return v.Runner + ": " + v.Error
}

func installedAgo(now time.Time, r api.PackRunner) string {
	if r.InstalledAt == nil {
		return ""
	}
	return ago(now, *r.InstalledAt)
}

func tookText(s *float64) string {
	if s == nil {
		return ""
	}
	return seconds(*s)
}

// pack colours the state of a pack, of a version, or of one on a runner.
func (p paint) pack(text string) string {
	switch text {
	case api.PackActive, "installed":
		return p.good(text)
	case api.PackFailed:
		return p.bad(text)
	case api.PackBuilding, api.PackReady, "installing":
		return p.busy(text)
	}
	return text
}

func packRollback(a *app) *cobra.Command {
	c := command("rollback NAME [VERSION]", "Put the version in service again that was before, or another that is kept",
		"attune pack rollback github\nattune pack rollback github 1.1.0", cobra.RangeArgs(1, 2),
		a.do(func(ctx context.Context, s *session, args []string) error {
			version := ""
			if len(args) == 2 {
				version = args[1]
			}
			v, err := s.api.RollbackPack(ctx, args[0], version)
			if err != nil {
				return s.notInstalled(err)
			}
			return s.saidOf(args[0], v)
		}))
	return completing(c, a.completePackVersion)
}

func packSwitch(a *app) *cobra.Command {
	return completing(command("switch NAME", "Put the version in service that was installed with --switch never", "attune pack switch github",
		cobra.ExactArgs(1), a.do(func(ctx context.Context, s *session, args []string) error {
			v, err := s.api.SwitchPack(ctx, args[0])
			if err != nil {
				return s.notInstalled(err)
			}
			return s.saidOf(args[0], v)
		})), a.complete(packNames))
}

// saidOf says what became of a version that was to go in service.
func (s *session) saidOf(name string, v api.PackVersion) error {
	if v.State == api.PackActive {
		return s.said(v, "pack %s %s is in service", name, v.Version)
	}
	return s.said(v, "pack %s %s goes in service when it is ready; see how far it is: attune pack status %s", name, v.Version, name)
}

// completePackVersion offers packs, and then the versions of one that are kept.
func (a *app) completePackVersion(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.offer(c, typed, packNames)
	case 1:
		return a.offer(c, typed, func(ctx context.Context, api *client.Client) ([]cobra.Completion, error) {
			return keptVersions(ctx, api, args[0])
		})
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func keptVersions(ctx context.Context, c *client.Client, name string) ([]cobra.Completion, error) {
	status, err := c.PackStatus(ctx, name)
	var kept []api.PackVersion
	for _, v := range status.Versions {
		if v.SwitchedAt != nil && v.State != api.PackActive {
			kept = append(kept, v)
		}
	}
	return describe(kept, err, func(v api.PackVersion) (string, string) { return v.Version, versionState(v) })
}
