// Package serve is the command `attune serve`: some of the services, against NATS servers and a PostgreSQL
// that are there already.
//
// It is the same code as `attune up` runs, a process at a time. The first signal drains, the second ends the
// process at once.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/database"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/services/attune/parts"
	"github.com/attune/attune/streams"
)

// Command makes the command.
func Command(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "serve " + strings.Join(parts.Names(), "|"),
		Short: "Run one service against servers that are there already",
		Long: "Run one service, in the foreground, against ATTUNE_NATS_URL (with ATTUNE_NATS_CREDS) and\n" +
			"ATTUNE_DATABASE_URL, which the runner does not take. Ctrl-C drains and stops it.",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: parts.Names(),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load()
			if err != nil {
				return err
			}
			if err := check(cfg, args[0]); err != nil {
				return err
			}
			return run(c, cfg, args[0], version)
		},
	}
}

// check finds every mistake in the configuration of one service.
func check(cfg config.Config, name string) error {
	errs := []error{cfg.Check()}
	if cfg.NATSURL == "" {
		errs = append(errs, fmt.Errorf("%w: ATTUNE_NATS_URL is empty: serve %s needs NATS servers", config.ErrBad, name))
	}
	if cfg.DatabaseURL == "" && parts.NeedsDatabase(name) {
		errs = append(errs, fmt.Errorf("%w: ATTUNE_DATABASE_URL is empty: serve %s needs a PostgreSQL", config.ErrBad, name))
	}
	if cfg.Token == "" && name == parts.API {
		errs = append(errs, fmt.Errorf("%w: ATTUNE_TOKEN is empty: serve %s needs the administrator's token", config.ErrBad, name))
	}
	return errors.Join(errs...)
}

func run(c *cobra.Command, cfg config.Config, name, version string) error {
	log, err := logging.New(c.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return fmt.Errorf("%w: %w", config.ErrBad, err)
	}
	parts.Tune()
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from then on a signal does what it does to any process
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	layers := &parts.Layers{Logger: log, Fail: fail}
	errStart := start(ctx, cfg, name, version, layers)
	if errStart == nil {
		<-ctx.Done()
	}
	if err := layers.Stop(); err != nil {
		return err
	}
	return lifecycle.Stopped(ctx, errStart)
}

// start opens what the service needs, in a process of its own, and runs it.
func start(ctx context.Context, cfg config.Config, name, version string, layers *parts.Layers) (err error) {
	p := parts.Process{
		Config: cfg, Version: version, ID: uuid.NewString(), Token: cfg.Token,
		Logger: layers.Logger, Registry: parts.NewRegistry(),
	}
	if p.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	p.Connect = func(ctx context.Context, name string) (*bus.Bus, error) {
		return bus.Connect(ctx, bus.Config{URL: cfg.NATSURL, CredsFile: cfg.NATSCredsOf(name), CAFile: cfg.NATSCA, Name: streams.ConnectionName(name), Logger: layers.Logger})
	}
	if err := prepareStreams(ctx, p, name); err != nil {
		return err
	}
	if parts.NeedsDatabase(name) {
		if err := openDatabase(ctx, &p, name, layers); err != nil {
			return err
		}
	}
	if name == parts.API {
		if err := listen(ctx, &p); err != nil {
			return err
		}
	}
	s, err := p.Service(name)
	if err != nil {
		return err
	}
	layers.Add(ctx, s)
	p.Logger.InfoContext(ctx, "serving", slog.String(logging.Service, name), slog.Any("config", cfg))
	return nil
}

func scheme(c config.Config) string {
	if c.HTTPCert != "" {
		return "https"
	}
	return "http"
}

func listen(ctx context.Context, p *parts.Process) (err error) {
	if p.Listener, err = net.Listen("tcp", p.Config.HTTPAddr); err != nil {
		return fmt.Errorf("API on %s: %w; choose another with ATTUNE_HTTP_ADDR", p.Config.HTTPAddr, err)
	}
	p.Logger.InfoContext(ctx, "listening", slog.String("url", scheme(p.Config)+"://"+p.Listener.Addr().String()))
	return nil
}

// prepareStreams returns when everything is there on the bus that services work with. The api makes what is missing;
// the others, whose users may not, wait for that, and the runner, whose user may not even look, does so by itself. A
// server takes connections before its JetStream answers, and a
// cluster before it has a leader: it waits for both.
func prepareStreams(ctx context.Context, p parts.Process, name string) error {
	if name == parts.Runner {
		return nil
	}
	user, prepare := name, streams.Check
	if name == parts.API {
		user = streams.UserSetup
		prepare = func(ctx context.Context, js jetstream.JetStream) error {
			return streams.Ensure(ctx, js, streams.Options{Replicas: p.Config.Replicas})
		}
	}
	b, err := p.Connect(ctx, user)
	if err != nil {
		return err
	}
	defer b.Close()
	often := backoff.NewExponentialBackOff()
	often.MaxInterval = 5 * time.Second
	notify := func(err error, wait time.Duration) {
		first, _, _ := strings.Cut(err.Error(), "\n") // there may be one for each stream
		p.Logger.WarnContext(ctx, "bus is not ready", slog.String(logging.Error, first), slog.Duration("retry_in", wait))
	}
	err = lifecycle.Insist(ctx, often, notify, func() error {
		err := prepare(ctx, b.JS)
		if err != nil && !isStarting(err) {
			err = backoff.Permanent(err)
		}
		return err
	})
	return err
}

// isStarting tells errors of servers that are not up yet from those that waiting does not mend.
func isStarting(err error) bool {
	const unavailable jetstream.ErrorCode = 10008 // the cluster has no leader
	var api *jetstream.APIError
	return errors.Is(err, streams.ErrNotReady) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.As(err, &api) && api.ErrorCode == unavailable
}

func openDatabase(ctx context.Context, p *parts.Process, name string, layers *parts.Layers) (err error) {
	p.DB, err = database.Open(ctx, p.Config.DatabaseURL, database.Options{Name: name, Logger: layers.Logger})
	if err != nil {
		return err
	}
	layers.Closing(ctx, "connections to PostgreSQL", p.DB.Close)
	return database.Migrate(ctx, p.DB)
}
