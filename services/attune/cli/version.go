package cli

import (
	"context"
	"runtime"

	"github.com/spf13/cobra"
)

type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand(a *app) *cobra.Command {
	return command("version", "Show the version of this program", "attune version -o json", cobra.NoArgs,
		a.offline(func(_ context.Context, s *session, _ []string) error {
			v := versionInfo{Version: a.version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			return s.said(v, "attune %s (%s, %s)", v.Version, v.Go, v.Platform)
		}))
}

func completionCommand() *cobra.Command {
	c := command("completion bash|zsh|fish", "Print the completion script of a shell",
		"source <(attune completion bash)\nattune completion zsh > \"${fpath[1]}/_attune\"\nattune completion fish > ~/.config/fish/completions/attune.fish",
		cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			}
			return root.GenFishCompletion(out, true)
		})
	c.ValidArgs = []string{"bash", "zsh", "fish"}
	c.ValidArgsFunction = nil
	return c
}
