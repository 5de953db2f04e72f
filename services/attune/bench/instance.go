package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/attune/bench/beacon"
	"github.com/attune/attune/services/attune/local"
)

// startPatience bounds a start; the first makes a database. startTick is how often is looked whether it is ready.
const (
	startPatience = 2 * time.Minute
	startTick     = 2 * time.Millisecond
)

// instance is a running `attune up` with the benchmark's pack installed.
type instance struct {
	dir      string
	binary   string
	settings []string
	process  *exec.Cmd
	ended    chan struct{} // closed when process has ended, with this:
	err      error

	api     *client.Client
	bus     *bus.Bus
	noop    string // the program that core.noop starts
	tiny    string // the program that bench.mark starts
	history *history
	beacons *beacon.Receiver
}

func start(ctx context.Context, dir, binary string, settings []string) (*instance, error) {
	in := &instance{dir: dir, binary: binary, settings: settings}
	if _, err := in.launch(ctx); err != nil {
		return nil, err
	}
	if err := in.prepare(ctx); err != nil {
		return nil, keep(err, in.stop())
	}
	return in, nil
}

// launch starts the process, waits until it is ready, and gives how long that took.
func (in *instance) launch(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(in.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	in.process = exec.Command(in.binary, "up", "--data", in.data(), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	in.process.Env = slices.Concat(plainEnvironment(), []string{"XDG_CONFIG_HOME=" + filepath.Join(in.dir, "config")}, in.settings)
	in.process.Stdout, in.process.Stderr = log, log
	began := time.Now()
	if err := in.process.Start(); err != nil {
		return 0, err
	}
	in.ended = make(chan struct{})
	go func() { in.err = in.process.Wait(); close(in.ended) }()
	a, err := in.awaitAnnouncement(ctx)
	if err != nil {
		return 0, keep(err, in.end())
	}
	took := time.Since(began)
	return took, in.connect(ctx, a)
}

func (in *instance) data() string { return filepath.Join(in.dir, "data") }

func (in *instance) logFile() string { return filepath.Join(in.dir, "log") }

// plainEnvironment is this process's, without what would change Attune's defaults.
func plainEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ATTUNE_") })
}

func (in *instance) awaitAnnouncement(ctx context.Context) (local.Announcement, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	look := time.NewTicker(startTick)
	defer look.Stop()
	for {
		a, err := local.Read(in.data())
		if !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
		select {
		case <-in.ended:
			log, _ := os.ReadFile(in.logFile()) // all that there is to say
			return a, fmt.Errorf("attune ended before it was ready: %s", log)
		case <-ctx.Done():
			return a, fmt.Errorf("attune is not ready: %w", ctx.Err())
		case <-look.C:
		}
	}
}

func (in *instance) connect(ctx context.Context, a local.Announcement) (err error) {
	if in.api, err = client.New(client.Config{URL: a.APIURL, Token: a.Token}); err != nil {
		return err
	}
	if in.bus, err = bus.Connect(ctx, bus.Config{URL: a.NATSURL, CredsFile: a.NATSCreds, Name: "attune-bench"}); err != nil {
		return err
	}
	in.history, err = in.openHistory(ctx)
	return err
}

// restart stops the process and starts it on the same data. It gives the time until it is ready again.
func (in *instance) restart(ctx context.Context) (time.Duration, error) {
	in.disconnect()
	if err := in.end(); err != nil {
		return 0, err
	}
	return in.launch(ctx)
}

func (in *instance) prepare(ctx context.Context) (err error) {
	if in.noop, err = extractNoop(in.dir); err != nil {
		return err
	}
	if in.beacons, err = beacon.Listen(); err != nil {
		return err
	}
	in.tiny = filepath.Join(in.dir, "tiny")
	if err := beacon.WriteProgram(in.tiny, in.beacons.Addr()); err != nil {
		return err
	}
	folder, err := writePack(in.dir, in.beacons.Addr())
	if err != nil {
		return err
	}
	return in.installFolder(ctx, folder)
}

// installFolder installs a pack, and returns when runners have it.
func (in *instance) installFolder(ctx context.Context, folder string) error {
	_, archive, err := pack.Archive(folder)
	if err != nil {
		return err
	}
	if _, err := in.api.InstallPack(ctx, archive, "bench"); err != nil {
		return fmt.Errorf("install %s: %w", folder, err)
	}
	return nil
}

// warmUp runs everything once that a burst runs: the first execution of a pack has the runner fetch it.
func (in *instance) warmUp(ctx context.Context) error {
	for _, triggers := range [][]string{{triggerNoop}, {triggerTiny}, spreadTriggers()} {
		if _, err := in.burst(ctx, len(triggers), triggers...); err != nil {
			return err
		}
	}
	return nil
}

func (in *instance) disconnect() {
	if in.history != nil {
		in.history.close()
	}
	if in.bus != nil {
		in.bus.Close()
	}
}

func (in *instance) stop() error {
	in.disconnect()
	if in.beacons != nil {
		_ = in.beacons.Close() // nothing was written that could be lost
	}
	return in.end()
}

// end asks the process to end and waits for it.
func (in *instance) end() error {
	if err := in.process.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-in.ended
	return in.err
}
