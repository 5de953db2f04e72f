package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
)

// startPatience bounds the first start, which makes a database.
const startPatience = 60 * time.Second

// instance is a running `attune up` with the benchmark's pack installed.
type instance struct {
	dir     string
	process *exec.Cmd
	api     *client.Client
	bus     *bus.Bus
	noop    string // the program that core.noop starts
	tiny    string // the program that bench.mark starts
	beacons *beacon.Receiver
}

// access is DIR/attune.json.
type access struct {
	APIURL    string `json:"api_url"`
	NATSURL   string `json:"nats_url"`
	NATSCreds string `json:"nats_creds"`
	Token     string `json:"token"`
}

func start(ctx context.Context, dir, binary string, settings []string) (*instance, error) {
	in := &instance{dir: dir}
	if err := in.launch(dir, binary, settings); err != nil {
		return nil, err
	}
	if err := in.prepare(ctx, dir); err != nil {
		return nil, keep(err, in.stop())
	}
	return in, nil
}

func (in *instance) launch(dir, binary string, settings []string) error {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	in.process = exec.Command(binary, "up", "--data", filepath.Join(dir, "data"), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	in.process.Env = slices.Concat(plainEnvironment(), []string{"XDG_CONFIG_HOME=" + filepath.Join(dir, "config")}, settings)
	in.process.Stdout, in.process.Stderr = log, log
	return in.process.Start()
}

// plainEnvironment is this process's, without what would change Attune's defaults.
func plainEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ATTUNE_") })
}

func (in *instance) prepare(ctx context.Context, dir string) error {
	a, err := awaitAccess(ctx, filepath.Join(dir, "data", "attune.json"))
	if err != nil {
		return err
	}
	if in.api, err = client.New(client.Config{URL: a.APIURL, Token: a.Token}); err != nil {
		return err
	}
	if in.bus, err = bus.Connect(ctx, bus.Config{URL: a.NATSURL, CredsFile: a.NATSCreds, Name: "attune-bench"}); err != nil {
		return err
	}
	if in.noop, err = extractNoop(dir); err != nil {
		return err
	}
	if in.beacons, err = beacon.Listen(); err != nil {
		return err
	}
	in.tiny = filepath.Join(dir, "tiny")
	if err := beacon.WriteProgram(in.tiny, in.beacons.Addr()); err != nil {
		return err
	}
	return in.install(ctx, dir)
}

func awaitAccess(ctx context.Context, file string) (access, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var a access
		if b, err := os.ReadFile(file); err == nil {
			return a, json.Unmarshal(b, &a)
		}
		select {
		case <-ctx.Done():
			return a, fmt.Errorf("attune did not become ready within %v", startPatience)
		case <-tick.C:
		}
	}
}

// install installs the benchmark's pack.
func (in *instance) install(ctx context.Context, dir string) error {
	folder, err := writePack(dir, in.beacons.Addr())
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

func (in *instance) stop() error {
	if in.bus != nil {
		in.bus.Close()
	}
	if in.beacons != nil {
		_ = in.beacons.Close() // nothing was written that could be lost
	}
	if err := in.process.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return in.process.Wait()
}
