package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

func runnerCommand(a *app) *cobra.Command {
	var l limit
	c := command("list", "List the runners that live, with what they can run", "attune runner list", cobra.NoArgs,
		a.do(func(ctx context.Context, s *session, _ []string) error {
			runners, more, err := s.api.Runners(ctx, l.n)
			if err != nil {
				return err
			}
			return l.list(s.view, more, list(s.view, runners, "runners", runnerColumns(s.view)))
		}))
	l.flag(c, 0)
	show := command("show RUNNER", "Show a runner, with what its actions are kept from", "attune runner show web1-3f2a91",
		cobra.ExactArgs(1), one(a, (*client.Client).Runner, showRunner))
	return group("runner", "Runners: where actions run", "attune runner list", c, show)
}

func showRunner(s *sheet, r api.Runner) {
	s.field("runner", r.Name)
	s.painted("state", runnerState(r), paint.status)
	s.field("pool", r.Pool)
	s.field("busy", fmt.Sprintf("%d of %d", r.Running, r.Slots))
	if r.Spares > 0 {
		s.field("waiting", fmt.Sprintf("%d processes, for executions to come", r.Spares))
	}
	s.field("labels", labels(r.Labels))
	s.field("host", r.Host)
	s.field("pid", strconv.Itoa(r.PID))
	s.field("build", r.Build)
	s.time("started", &r.StartedAt)
	s.time("seen", &r.Seen)
	s.field("runtimes", runtimes(r.Runtimes))
	if len(r.Isolation) == 0 {
		s.field("isolation", "none")
	}
	for _, f := range r.Isolation {
		s.field("isolation: "+f.Name, strings.TrimSuffix(map[bool]string{true: "yes, ", false: "no, "}[f.Active]+f.Detail, ", "))
	}
}

func runnerColumns(v *view) []column[api.Runner] {
	return []column[api.Runner]{
		{title: "RUNNER", cell: func(r api.Runner) string { return r.Name }},
		{title: "POOL", cell: func(r api.Runner) string { return r.Pool }},
		{title: "BUSY", cell: func(r api.Runner) string { return fmt.Sprintf("%d of %d", r.Running, r.Slots) }, number: true},
		{title: "STATE", cell: runnerState, paint: paint.status},
		{title: "SEEN", cell: func(r api.Runner) string { return ago(v.now, r.Seen) }},
		{title: "LABELS", cell: func(r api.Runner) string { return labels(r.Labels) }},
		{title: "BUILD", cell: func(r api.Runner) string { return r.Build }},
		{title: "RUNTIMES", cell: func(r api.Runner) string { return runtimes(r.Runtimes) }, flex: true},
	}
}

func runnerState(r api.Runner) string {
	if r.Draining {
		return "draining"
	}
	return "ok"
}

// runtimes names each runtime once, with all its versions.
func runtimes(found []streams.Runtime) string {
	var names []string
	versions := map[string][]string{}
	for _, r := range found {
		if versions[r.Name] == nil {
			names = append(names, r.Name)
		}
		versions[r.Name] = append(versions[r.Name], r.Version)
	}
	for i, name := range names {
		names[i] = strings.TrimSpace(name + " " + strings.Join(versions[name], ", "))
	}
	return strings.Join(names, "; ")
}

// labels writes labels as ATTUNE_LABELS takes them.
func labels(all map[string]string) string {
	out := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, strings.TrimSuffix(name+"="+all[name], "="))
	}
	return strings.Join(out, ",")
}
