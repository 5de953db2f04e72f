// Package cli is the command line of Attune: the client commands, which talk to the API over HTTP and to
// nothing else.
//
// It guarantees that what a script reads stays stable: data goes to stdout and everything said to a person to
// stderr, colour and width only to a terminal, and the exit status says how it ended.
package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// New makes the root command `attune` with every client command. The caller may add commands of its own, and
// runs the root with Execute.
func New(version string) *cobra.Command {
	root := &cobra.Command{
		Use:           "attune",
		Short:         "Event-driven automation: sensors notice, rules decide, actions do",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          helpOrUnknown,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageError(c, err) })
	return root
}

// Execute runs the root command, writes what went wrong to its stderr and returns the exit status.
func Execute(ctx context.Context, root *cobra.Command) int {
	err := root.ExecuteContext(ctx)
	if err != nil {
		PrintError(root.ErrOrStderr(), err)
	}
	return ExitCode(err)
}

// helpOrUnknown is what a command with subcommands does by itself: it shows its help, or says that there is
// no such subcommand.
func helpOrUnknown(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %q?", err, near[0])
	}
	return usageError(c, err)
}

func usageError(c *cobra.Command, err error) error {
	return WithExit(fmt.Errorf("%w\nsee: %s --help", err, c.CommandPath()), ExitUsage)
}

var errQuiet = errors.New("already reported")
