package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/attune/attune/packs"
	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/config"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/pkg/postgres"
	"github.com/attune/attune/services/attune/local"
	"github.com/attune/attune/services/attune/parts"
	"github.com/attune/attune/streams"
)

// cluster is one run of the cluster.
type cluster struct {
	layout
	folder *local.Folder
	layers *parts.Layers
	log    *slog.Logger
	out    io.Writer
	ready  chan struct{} // closed when everything answers
}

// patience is how long the cluster may take to come up.
const patience = 3 * time.Minute

var errNotReady = errors.New("the cluster does not come up")

// up starts the cluster, waits for the end of ctx, and stops it.
func up(ctx context.Context, s settings, out, errw io.Writer) error {
	begun := time.Now()
	cfg, err := config.Load()
	if err != nil {
		return err
	}
	log, err := logging.New(errw, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return fmt.Errorf("%w: %w", config.ErrBad, err)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	c := &cluster{log: log, out: out, ready: make(chan struct{}), layers: &parts.Layers{Logger: log, Fail: fail}}
	errStart := c.start(ctx, s, cfg.Token)
	if errStart == nil {
		close(c.ready)
		c.greet(time.Since(begun))
		<-ctx.Done()
		log.InfoContext(ctx, "stopping: running executions are finished first, a second signal ends them")
	}
	return c.end(ctx, errStart)
}

// end stops what runs, the last started first. What a process said when it failed comes before what followed
// from that.
func (c *cluster) end(ctx context.Context, errStart error) error {
	if c.folder == nil {
		return errStart
	}
	errs := []error{c.folder.Withdraw(), c.layers.Stop(), os.RemoveAll(c.path("run")), c.folder.Close()}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return lifecycle.Stopped(ctx, errStart)
}

// start brings everything up, the servers first, and announces it.
func (c *cluster) start(ctx context.Context, s settings, token string) error {
	if err := c.occupy(s, token); err != nil {
		return err
	}
	if err := c.build(ctx, s.binary); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%w within %s; see the logs in %s", errNotReady, patience, c.path("log")))
	defer cancel()
	if err := c.startDatabase(ctx); err != nil {
		return err
	}
	nats, last, first := c.programs()
	c.add(ctx, nats)
	if err := c.ensureStreams(ctx); err != nil {
		return err
	}
	c.add(ctx, last)
	c.add(ctx, first)
	if err := c.awaitReady(ctx); err != nil {
		return err
	}
	if err := c.installShipped(ctx); err != nil {
		return err
	}
	return c.folder.Announce(local.Announcement{
		APIURL: c.apiURL(), NATSURL: c.natsURL(), NATSCreds: c.creds, Token: c.token, PID: os.Getpid(), Version: "cluster",
	})
}

// occupy takes what only one process can have, and makes what all of them share.
func (c *cluster) occupy(s settings, token string) (err error) {
	if c.folder, err = local.Open(s.dir); err != nil {
		return err
	}
	c.dir = c.folder.Dir
	if err := c.find(s); err != nil {
		return err
	}
	if c.token, err = c.folder.Token(token); err != nil {
		return err
	}
	for _, dir := range []string{"log", "run"} {
		if err := os.MkdirAll(c.path(dir), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.path(pidFile), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return err
	}
	c.creds, err = natsserver.MakeIdentities(c.path("identities"))
	return err
}

// build builds the program that all services are, unless there is one.
func (c *cluster) build(ctx context.Context, given string) (err error) {
	if given != "" {
		c.binary, err = filepath.Abs(given)
		return err
	}
	c.binary = c.path("bin", "attune")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", c.binary, "github.com/attune/attune/services/attune").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build attune: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (c *cluster) startDatabase(ctx context.Context) error {
	s, err := postgres.New(ctx, postgres.Config{Dir: c.path("postgres"), Logger: c.log})
	if err != nil {
		return err
	}
	c.layers.Add(ctx, lifecycle.Named{Name: "postgres", Service: s})
	c.dbURL = s.URL()
	select {
	case <-s.Ready():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// add starts programs that stop together.
func (c *cluster) add(ctx context.Context, programs []*program) {
	named := make([]lifecycle.Named, len(programs))
	for i, p := range programs {
		named[i] = lifecycle.Named{Name: p.name, Service: lifecycle.Func(func(ctx context.Context) error {
			return p.run(ctx, c.ready, c.log)
		})}
	}
	c.layers.Add(ctx, named...)
}

// ensureStreams makes the streams as soon as the servers have found each other: a stream with three copies needs
// all of them.
func (c *cluster) ensureStreams(ctx context.Context) error {
	b, err := bus.Connect(ctx, bus.Config{URL: c.natsURL(), CredsFile: c.creds, Name: "attune-cluster"})
	if err != nil {
		return err
	}
	defer b.Close()
	err = eventually(ctx, "wait for a leader among the NATS servers", time.Second, func(ctx context.Context) error {
		_, err := b.JS.AccountInfo(ctx) // a leader answers, else nobody does
		return err
	})
	if err != nil {
		return err
	}
	return eventually(ctx, "make the streams", 30*time.Second, func(ctx context.Context) error {
		return streams.Ensure(ctx, b.JS, streams.Options{Replicas: servers})
	})
}

// awaitReady returns when every API says that all it needs is there.
func (c *cluster) awaitReady(ctx context.Context) error {
	for _, addr := range c.apis {
		api, err := client.New(client.Config{URL: "http://" + addr, Patience: -1})
		if err != nil {
			return err
		}
		defer api.Close()
		if err := eventually(ctx, "wait for the API on "+addr, 5*time.Second, func(ctx context.Context) error { return readiness(ctx, api) }); err != nil {
			return err
		}
	}
	return nil
}

// readiness is nil when an API has all it needs, and else says what it lacks.
func readiness(ctx context.Context, api *client.Client) error {
	h, err := api.Ready(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, check := range h.Checks {
		if !check.OK {
			errs = append(errs, fmt.Errorf("%s: %w: %s", check.Name, errNotReady, check.Error))
		}
	}
	return errors.Join(errs...)
}

// eventually repeats something, each time for so long at most, until it succeeds or ctx ends: then it says what
// was wrong the last time.
func eventually(ctx context.Context, what string, each time.Duration, try func(context.Context) error) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, each)
		err := try(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (at last: %w)", what, context.Cause(ctx), err)
		}
	}
}

func (c *cluster) installShipped(ctx context.Context) error {
	api, err := client.New(client.Config{URL: c.apiURL(), Token: c.token, Agent: "attune-cluster"})
	if err != nil {
		return err
	}
	defer api.Close()
	for _, name := range packs.Shipped() {
		archive, err := packs.Archive(name)
		if err != nil {
			return fmt.Errorf("shipped pack %s: %w", name, err)
		}
		if _, err := api.InstallPack(ctx, archive, "shipped"); err != nil {
			return fmt.Errorf("shipped pack %s: %w", name, err)
		}
	}
	return nil
}
