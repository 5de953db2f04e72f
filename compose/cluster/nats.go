package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/natsserver"
)

// natsCommand is one NATS server, which the cluster starts as a process of its own.
func natsCommand() *cobra.Command {
	var c natsserver.Config
	cmd := &cobra.Command{
		Use: "nats", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serveNATS(cmd, c) },
	}
	cmd.Flags().StringVar(&c.Member.Name, "name", "", "unique in the cluster")
	cmd.Flags().StringVar(&c.Dir, "dir", "", "folder of the streams")
	cmd.Flags().StringVar(&c.Member.Identities, "identities", "", "folder of keys and credentials")
	cmd.Flags().StringVar(&c.Addr, "addr", "", "host:port for clients")
	cmd.Flags().StringVar(&c.Member.Addr, "route", "", "host:port for the other servers")
	cmd.Flags().StringSliceVar(&c.Member.Routes, "routes", nil, "host:port for servers, of all of them")
	return cmd
}

func serveNATS(cmd *cobra.Command, c natsserver.Config) error {
	settings, err := config.Load()
	if err != nil {
		return err
	}
	if c.Logger, err = logging.New(cmd.ErrOrStderr(), settings.LogLevel, "text"); err != nil {
		return err
	}
	c.SyncSlow = settings.Sync == "interval"
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, err := natsserver.Start(c)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
