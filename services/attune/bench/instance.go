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
	"syscall"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/pack"
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
	marks   *marks
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

// marksDir is the folder that actions of the benchmark may write to.
func marksDir(dir string) string { return filepath.Join(dir, "marks") }

func (in *instance) launch(dir, binary string, settings []string) error {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	if err := os.Mkdir(marksDir(dir), 0o755); err != nil {
		return err
	}
	in.process = exec.Command(binary, "up", "--data", filepath.Join(dir, "data"), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	in.process.Env = slices.Concat(os.Environ(), []string{"XDG_CONFIG_HOME=" + filepath.Join(dir, "config"), "ATTUNE_ISOLATION_WRITE=" + marksDir(dir)}, settings)
	in.process.Stdout, in.process.Stderr = log, log
	return in.process.Start()
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
	if in.marks, err = newMarks(filepath.Join(marksDir(dir), "pipe")); err != nil {
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

func (in *instance) install(ctx context.Context, dir string) error {
	folder, err := writePack(dir, in.marks.path)
	if err != nil {
		return err
	}
	_, archive, err := pack.Archive(folder)
	if err != nil {
		return err
	}
	if _, err := in.api.InstallPack(ctx, archive, "bench"); err != nil {
		return fmt.Errorf("install the benchmark's pack: %w", err)
	}
	return nil
}

func (in *instance) stop() error {
	if in.bus != nil {
		in.bus.Close()
	}
	if in.marks != nil {
		in.marks.close()
	}
	if err := in.process.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return in.process.Wait()
}
