package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
)

func packInstall(a *app) *cobra.Command {
	var from sourceFlags
	var i installing
	c := command("install SOURCE", "Install a pack, or put another version in its place: from a folder, an archive, an address, a repository or by name",
		"attune pack install packs/examples/github\nattune pack install github-1.2.0.tar.gz\n"+
			"attune pack install https://example.org/github-1.2.0.tar.zst#sha256=SUM\nattune pack install git+https://example.org/packs@v1.2.0 --subdir github\n"+
			"attune pack install 'github@^1.2'", cobra.ExactArgs(1),
		a.do(func(ctx context.Context, s *session, args []string) error {
			found, err := a.fetch(ctx, s, from.request(args[0]))
			if err != nil {
				return err
			}
			return i.run(ctx, s, found)
		}))
	from.flags(c)
	i.flags(c)
	c.ValidArgsFunction = a.completeSource
	return c
}

// contents counts what a pack defines.
func contents(p api.Pack) string {
	var parts []string
	for _, k := range []struct {
		n    int
		what string
	}{{len(p.Actions), "action"}, {len(p.Triggers), "trigger"}, {len(p.Sensors), "sensor"}, {len(p.Rules), "rule"}} {
		if k.n > 0 {
			parts = append(parts, plural(k.n, k.what))
		}
	}
	return first(strings.Join(parts, ", "), "nothing in it")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
