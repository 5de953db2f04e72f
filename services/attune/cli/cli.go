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
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// New makes the root command `attune` with every client command. The caller may add commands of its own, and
// runs the root with Execute.
func New(version string) *cobra.Command {
	a := &app{version: version}
	root := group("attune", "Event-driven automation: sensors notice, rules decide, actions do",
		"attune run core.echo message=hi --follow",
		packCommand(a), actionCommand(a), runCommand(a), executionCommand(a), logsCommand(a, "attune logs"), eventCommand(a),
		ruleCommand(a), triggerCommand(a), webhookCommand(a), sensorCommand(a), queueCommand(a), runnerCommand(a),
		secretCommand(a), retentionCommand(a), tokenCommand(a), userCommand(a), auditCommand(a), loginCommand(a), whoamiCommand(a), natsCommand(a),
		doctorCommand(a), completionCommand(), versionCommand(a), builtinCommand())
	root.Version = version
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("attune {{.Version}}\n")
	root.SetFlagErrorFunc(usageError)
	a.flags(root)
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

// group makes a command that only holds others. By itself it shows its help.
func group(use, short, example string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: indent(example), Args: cobra.ArbitraryArgs, RunE: helpOrUnknown}
	c.AddCommand(subs...)
	return c
}

// command makes a command of its usage line, a description of one line, an example and what it does.
func command(use, short, example string, args cobra.PositionalArgs, run func(*cobra.Command, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: indent(example), Args: asUsage(args), RunE: run,
		DisableFlagsInUseLine: true, ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}

// asUsage makes wrong arguments end with the status of wrong usage.
func asUsage(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if err := args(c, given); err != nil {
			return usageError(c, err)
		}
		if slices.Contains(given, "") {
			return usageError(c, errEmptyArgument)
		}
		return nil
	}
}

// errEmptyArgument is returned for an argument without a character in it, such as a variable that is not set.
var errEmptyArgument = errors.New("an argument is empty")

func helpOrUnknown(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	if c.SuggestionsMinimumDistance <= 0 {
		c.SuggestionsMinimumDistance = 2
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %q?", err, near[0])
	}
	return WithExit(hinted(err, "see: "+c.CommandPath()+" --help"), ExitUsage)
}

func usageError(c *cobra.Command, err error) error {
	return WithExit(hinted(err, "usage: "+c.UseLine(), "see:   "+c.CommandPath()+" --help"), ExitUsage)
}

// errQuiet is returned by commands whose output has said already what went wrong.
var errQuiet = errors.New("already said")
