// Command cluster runs Attune on one machine as it runs on many: three NATS servers that replicate every stream,
// a private PostgreSQL, and several copies of each service, every one a process of its own on loopback.
//
// It guarantees that what it prints as ready answers, that a process of it which dies is started again, that the
// first signal drains (services before the servers that they need) and a second one ends everything at once, and
// that no process outlives it, however it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/config"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(status(err))
	}
}

// status is the exit status that an error stands for, as with `attune up`.
func status(err error) int {
	if errors.Is(err, config.ErrBad) {
		return 2
	}
	return 1
}

// standardDir is below the working folder, where .gitignore knows it.
const standardDir = "attune-data/cluster"

func command() *cobra.Command {
	root := &cobra.Command{Use: "cluster", Short: "Run a cluster of Attune on this machine", SilenceErrors: true, SilenceUsage: true}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(upCommand(), downCommand(), natsCommand())
	return root
}

func upCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "up", Args: cobra.NoArgs, Short: "Start the cluster, in the foreground",
		Long: "Start three NATS servers, a private PostgreSQL and several copies of each service, and stay in the foreground.\n" +
			"Ctrl-C drains and stops all of it; a second Ctrl-C stops it at once. ATTUNE_LOG_LEVEL, ATTUNE_SYNC, ATTUNE_SLOTS,\n" +
			"ATTUNE_GRACE, ATTUNE_DRAIN and ATTUNE_TOKEN are what they are for `attune up`.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // from then on a signal does what it does to any process
			return up(ctx, s, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&s.dir, "data", standardDir, "folder of everything that is kept")
	c.Flags().StringVar(&s.http, "http", "127.0.0.1:8080", "address of the first API, the second has the next port; port 0 for free ones")
	c.Flags().StringVar(&s.nats, "nats", "127.0.0.1:4222", "address of the first NATS server, the others have the next ports; port 0 for free ones")
	c.Flags().StringVar(&s.binary, "binary", "", "run this attune instead of building it")
	return c
}

func downCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "down", Args: cobra.NoArgs, Short: "Stop the cluster that runs in another terminal",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return down(ctx, dir, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&dir, "data", standardDir, "folder of the cluster")
	return c
}
