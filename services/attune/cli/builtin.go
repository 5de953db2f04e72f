package cli

import (
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/builtin"
	"github.com/attune/attune/pkg/sensor"
)

// builtinCommand is what a host of sensors starts for the sensors that are part of this program. It is not for people.
func builtinCommand() *cobra.Command {
	c := command(sensor.BuiltinCommand+" NAME", "Become a sensor that ships with Attune", "attune "+sensor.BuiltinCommand+" files", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return builtin.Run(ctx, args[0], ".", c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
	})
	c.Hidden = true
	return c
}
