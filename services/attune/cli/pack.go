package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func packCommand(a *app) *cobra.Command {
	return group("pack", "Packs: bundles of actions, triggers, sensors and rules", "attune pack install packs/examples/github",
		packCreate(a), packDev(a), packInstall(a), packCheck(a), packBuild(a), packIndex(a), packTest(a), packList(a),
		completing(command("show NAME", "Show an installed pack with what it defines", "attune pack show core",
			cobra.ExactArgs(1), one(a, (*client.Client).Pack, showPack)), a.complete(packNames)),
		packStatus(a), packSwitch(a), packRollback(a), packConfig(a), packUninstall(a))
}

func packList(a *app) *cobra.Command {
	var l limit
	c := command("list", "List the installed packs", "attune pack list", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			packs, more, err := s.api.Packs(ctx, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, packs, "packs", packColumns(s.view, packs)))
		}))
	l.flag(c, 0)
	return c
}

// packColumns has a column for the state where a pack is not plainly in service.
func packColumns(v *view, packs []api.Pack) []column[api.Pack] {
	columns := []column[api.Pack]{
		{title: "PACK", cell: func(p api.Pack) string { return p.Name }},
		{title: "VERSION", cell: func(p api.Pack) string { return p.Version }},
		{title: "INSTALLED", cell: func(p api.Pack) string { return ago(v.now, p.UpdatedAt) }},
		{title: "DESCRIPTION", cell: func(p api.Pack) string { return p.Description }, flex: true},
	}
	if slices.ContainsFunc(packs, func(p api.Pack) bool { return stateText(p) != "" }) {
		columns = slices.Insert(columns, 2, column[api.Pack]{title: "STATE", cell: stateText})
	}
	return columns
}

// stateText says what is on its way, or has failed, and nothing of a pack that is plainly in service.
func stateText(p api.Pack) string {
	if p.State == "" || p.State == api.PackActive {
		return ""
	}
	if p.Coming == p.Version {
		return p.State
	}
	return p.Coming + " " + p.State
}

func showPack(s *sheet, p api.Pack) {
	s.field("pack", p.Name)
	s.field("version", p.Version)
	s.field("state", stateText(p))
	s.field("description", p.Description)
	s.field("author", p.Author)
	s.field("source", p.Source)
	s.time("installed", &p.InstalledAt)
	s.time("updated", &p.UpdatedAt)
	s.field("installed by", p.InstalledBy)
	s.field("digest", p.Digest)
	for _, name := range slices.Sorted(maps.Keys(p.Runtime)) {
		s.field("needs "+name, p.Runtime[name])
	}
	s.text("actions", strings.Join(p.Actions, "\n"))
	s.text("triggers", strings.Join(p.Triggers, "\n"))
	s.text("sensors", strings.Join(p.Sensors, "\n"))
	s.text("rules", strings.Join(p.Rules, "\n"))
}

func packUninstall(a *app) *cobra.Command {
	var force bool
	c := command("uninstall NAME", "Remove a pack with all that it defines; history stays", "attune pack uninstall github",
		cobra.ExactArgs(1), a.do(func(ctx context.Context, s *session, args []string) error {
			done, err := s.api.UninstallPack(ctx, args[0], force)
			if client.Code(err) == api.CodeConflict {
				return hinted(err, "see what needs it, and uninstall that first; or remove these rules too with --force")
			}
			if err != nil {
				return err
			}
			if len(done.RemovedRules) > 0 {
				return s.said(done, "pack %s is uninstalled, and with it rules of other packs: %s", args[0], strings.Join(done.RemovedRules, ", "))
			}
			return s.said(done, "pack %s is uninstalled", args[0])
		}))
	c.Flags().BoolVar(&force, "force", false, "also remove the rules of other packs that need it")
	return completing(c, a.complete(packNames))
}
