package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/services/attune/local"
	"github.com/attune/attune/streams"
)

// outputOptions are the sizes of the measurement.
type outputOptions struct {
	flood      int // MiB that an action writes over its limit
	keep       int // MiB that are kept
	executions int // of one line, in each round
	followers  int
	lines      int // that they follow
}

// logsMode measures what output costs: of an action that writes far more than is kept, of one whose output is kept in
// full, of many that print a line, and of many that follow one.
func logsMode(f *flag.FlagSet) measure {
	var o outputOptions
	f.IntVar(&o.flood, "flood", 1024, "MiB that an action writes with a limit of 20 MiB")
	f.IntVar(&o.keep, "keep", 256, "MiB that are kept in full")
	f.IntVar(&o.executions, "executions", 2000, "executions of one line in each round")
	f.IntVar(&o.followers, "followers", 100, "followers of one log")
	f.IntVar(&o.lines, "lines", 40, "lines that they follow in each round")
	return func(ctx context.Context, s *session) (err error) {
		in, err := s.start(ctx, "attune")
		if err != nil {
			return err
		}
		defer func() { err = keep(err, in.stop()) }()
		site, err := newOutputSite(ctx, in, s, o)
		if err != nil {
			return err
		}
		defer func() { err = keep(err, site.stop()) }()
		if _, err := site.timed(ctx, "warm"); err != nil { // the first start of a pack
			return err
		}
		s.run.Note(fmt.Sprintf("%d MiB over a limit of 20, %d MiB kept, %d executions of a line, %d followers. The runner is a process of its own, so that its memory is not NATS's; it has ATTUNE_ISOLATION_READ set, for the moment at which followed lines begin.",
			o.flood, o.keep, o.executions, o.followers))
		return s.each(func(int) error { return site.round(ctx, s.run) })
	}
}

// outputSite is an installation with a runner in a process of its own for actions with much output, so that its memory
// is that of a runner and not that of NATS.
type outputSite struct {
	*instance
	options outputOptions
	dir     string // of the instance
	binary  string
	shared  string // a folder that its actions see besides
	flood   string // the program that writes more than is kept
	runner  *exec.Cmd
}

func newOutputSite(ctx context.Context, in *instance, of *session, o outputOptions) (*outputSite, error) {
	s := &outputSite{instance: in, options: o, dir: in.dir, binary: of.binary, shared: filepath.Join(in.dir, "shared")}
	if err := os.Mkdir(s.shared, 0o755); err != nil {
		return nil, err
	}
	folder, err := writeOutputPack(filepath.Join(in.dir, "output"), s.shared, o)
	if err != nil {
		return nil, err
	}
	s.flood = filepath.Join(folder, "actions", "flood.sh")
	if err := s.launchRunner(); err != nil {
		return nil, err
	}
	for i := range secrets {
		if _, err := in.api.SetSecret(ctx, secretName(i), secretValue(i)); err != nil {
			return nil, keep(err, s.stop())
		}
	}
	_, archive, err := pack.Archive(folder)
	if err != nil {
		return nil, keep(err, s.stop())
	}
	if _, err := in.api.InstallPack(ctx, archive, "bench"); err != nil {
		return nil, keep(fmt.Errorf("install the pack of the measurement: %w", err), s.stop())
	}
	return s, nil
}

func (s *outputSite) launchRunner() error {
	a, err := local.Read(s.data())
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "runner.log"))
	if err != nil {
		return err
	}
	s.runner = exec.Command(s.binary, "serve", "runner")
	s.runner.Env = append(plainEnvironment(), "ATTUNE_POOL="+outputPool, "ATTUNE_RUNNER_NAME="+outputPool, "ATTUNE_DATA_DIR="+filepath.Join(s.dir, "runner"),
		"ATTUNE_NATS_URL="+a.NATSURL, "ATTUNE_NATS_CREDS="+filepath.Dir(a.NATSCreds), "ATTUNE_ISOLATION_READ="+s.shared)
	s.runner.Stdout, s.runner.Stderr = log, log
	return s.runner.Start()
}

func (s *outputSite) stop() error {
	if err := s.runner.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return s.runner.Wait()
}

// round measures everything once.
func (s *outputSite) round(ctx context.Context, run *figure.Run) error {
	var x outputRound
	for _, part := range []func(context.Context, *outputRound) error{s.floods, s.kept, s.lines, s.followed} {
		if err := part(ctx, &x); err != nil {
			return err
		}
	}
	x.add(run)
	return nil
}

// timed runs an action and gives how long it took, from its start to its end, in seconds.
func (s *outputSite) timed(ctx context.Context, action string) (float64, error) {
	x, err := s.run(ctx, action)
	if err != nil {
		return 0, err
	}
	return x.EndedAt.Sub(*x.StartedAt).Seconds(), nil
}

func (s *outputSite) run(ctx context.Context, action string) (api.Execution, error) {
	accepted, err := s.api.Run(ctx, api.ExecutionRequest{Action: outputPack + "." + action}, uuid.NewString())
	if err != nil {
		return api.Execution{}, err
	}
	return s.await(ctx, accepted.ID)
}

func (s *outputSite) await(ctx context.Context, id string) (api.Execution, error) {
	x, err := s.api.Wait(ctx, id, nil)
	if err == nil && x.Status != streams.Succeeded {
		err = fmt.Errorf("an execution of %s ended as %s: %+v", x.Action, x.Status, x.Error)
	}
	return x, err
}

// floods compares an action whose output is over its limit with the same program and a loop that reads its pipe.
func (s *outputSite) floods(ctx context.Context, r *outputRound) (err error) {
	if r.BareSeconds, err = readPipe(ctx, s.flood); err != nil {
		return err
	}
	pid := s.runner.Process.Pid
	before, err := restingMemory(pid)
	if err != nil {
		return err
	}
	if r.FloodSeconds, err = s.timed(ctx, "flood"); err != nil {
		return err
	}
	peak, err := memory(pid, peakMemory)
	r.GrowthMB = float64(peak-before) / (1 << 20)
	return err
}

func readPipe(ctx context.Context, program string) (float64, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, program)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for buf := make([]byte, 64<<10); ; {
		if _, err := pipe.Read(buf); err != nil {
			break
		}
	}
	return time.Since(began).Seconds(), cmd.Wait()
}

// kept measures output that is kept in full, without secrets and with many.
func (s *outputSite) kept(ctx context.Context, r *outputRound) error {
	plain, err := s.timed(ctx, "plain")
	if err != nil {
		return err
	}
	masked, err := s.timed(ctx, "masked")
	mb := float64(s.options.keep) * (1 << 20) / 1e6
	r.KeptMBs, r.MaskedMBs = mb/plain, mb/masked
	return err
}

// lines compares executions that print a line with those that print nothing, and measures what a line takes.
func (s *outputSite) lines(ctx context.Context, r *outputRound) error {
	n := s.options.executions
	silent, err := s.burst(ctx, n, triggerNoop)
	if err != nil {
		return err
	}
	if err := s.emptyLive(ctx); err != nil {
		return err
	}
	objects, live, err := s.logBytes(ctx)
	if err != nil {
		return err
	}
	line, err := s.burst(ctx, n, triggerLine)
	if err != nil {
		return err
	}
	objectsAfter, liveAfter, err := s.logBytes(ctx)
	r.SilentMs, r.LineMs = 1000/silent.rate, 1000/line.rate
	r.LineObjectBytes, r.LineLiveBytes = float64(objectsAfter-objects)/float64(n), float64(liveAfter-live)/float64(n)
	return err
}

// emptyLive makes room on the stream of logs: a full one drops for every message an older one, and does not grow.
func (s *outputSite) emptyLive(ctx context.Context) error {
	stream, err := s.bus.JS.Stream(ctx, streams.Logs)
	if err != nil {
		return err
	}
	return stream.Purge(ctx)
}

// logBytes gives what logs take in the object store and on the stream.
func (s *outputSite) logBytes(ctx context.Context) (objects, live int64, err error) {
	for _, one := range []struct {
		name string
		size *int64
	}{{"OBJ_" + streams.ObjectsLogs, &objects}, {streams.Logs, &live}} {
		stream, err := s.bus.JS.Stream(ctx, one.name)
		if err != nil {
			return 0, 0, err
		}
		*one.size = int64(stream.CachedInfo().State.Bytes) //nolint:gosec // no disk is that large
	}
	return objects, live, nil
}
