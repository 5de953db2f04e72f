// Package up is the command `attune up`: everything on one machine, in one process.
//
// It guarantees that attune.json appears when the API answers and all services run, and not before; that the
// first signal drains (running executions are finished, what was acknowledged is on disk) and a second one
// ends the process at once; and that neither way leaves a process behind. What it cannot start with it says,
// with what to do about it.
package up

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/services/attune/parts"
)

// Command makes the command.
func Command(version string) *cobra.Command {
	var data, http, nats string
	c := &cobra.Command{
		Use:   "up",
		Short: "Run all of Attune on this machine",
		Long: "Run all of Attune on this machine, in the foreground: a NATS server, a private PostgreSQL, every service\n" +
			"and the packs that ship. Ctrl-C drains and stops it; a second Ctrl-C stops it at once.\n\n" + environment(),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load()
			if err != nil {
				return err
			}
			override(c, "data", &cfg.DataDir, data)
			override(c, "http", &cfg.HTTPAddr, http)
			override(c, "nats", &cfg.NATSAddr, nats)
			return run(c, cfg, version)
		},
	}
	c.Flags().StringVar(&data, "data", "", "folder of everything that is kept (ATTUNE_DATA_DIR; default "+config.DefaultDataDir()+")")
	c.Flags().StringVar(&http, "http", "", "address of the API, port 0 for a free one (ATTUNE_HTTP_ADDR; default 127.0.0.1:8080)")
	c.Flags().StringVar(&nats, "nats", "", "address of the NATS server, port 0 for a free one (ATTUNE_NATS_ADDR; default 127.0.0.1:4222)")
	return c
}

func override(c *cobra.Command, flag string, field *string, value string) {
	if c.Flags().Changed(flag) {
		*field = value
	}
}

func environment() string {
	return "ATTUNE_NATS_URL and ATTUNE_DATABASE_URL make it use servers that are there already."
}

func run(c *cobra.Command, cfg config.Config, version string) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	log, err := logging.New(c.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return fmt.Errorf("%w: %w", config.ErrBad, err)
	}
	parts.Tune()
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from then on a signal does what it does to any process
	u := &machine{cfg: cfg, version: version, log: log, out: c.OutOrStdout(), unhook: stop}
	return u.run(ctx)
}
