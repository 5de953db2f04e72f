package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/sandbox"
	"github.com/attune/attune/services/attune/bench/figure"
)

// starter is one way to start a program and wait for its end.
type starter struct {
	name string
	run  func() error
	took []time.Duration
}

// startsMode measures the ways to start in turn.
func startsMode(f *flag.FlagSet) measure {
	samples := f.Int("samples", 400, "starts of each kind in each round")
	program := f.String("program", "/bin/true", "what is started")
	return func(ctx context.Context, s *session) (err error) {
		ways := []*starter{{name: "fork, exec, wait", run: func() error { return bareStart(*program) }}}
		for _, kind := range kindsHere() {
			way, stop, err := newStarter(ctx, kind, filepath.Join(s.dir, kind), *program)
			if err != nil {
				return err
			}
			defer func() { err = keep(err, stop()) }()
			ways = append(ways, way)
		}
		return s.each(func(int) error { return inTurn(s.run, ways, *samples) })
	}
}

// inTurn starts in all ways, one after the other.
func inTurn(run *figure.Run, ways []*starter, samples int) error {
	for range samples {
		for _, s := range ways {
			began := time.Now()
			if err := s.run(); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.took = append(s.took, time.Since(began))
		}
	}
	bare := figure.Quantile(ways[0].took, 0.5)
	for _, s := range ways {
		p50 := figure.Quantile(s.took, 0.5)
		if s != ways[0] {
			run.Ratio(s.name+", p50", ways[0].name, p50, bare, "")
		}
		run.Add(figure.Figure{Name: s.name + ": p50", Unit: "ms"}, p50)
		run.Add(figure.Figure{Name: s.name + ": p99", Unit: "ms"}, figure.Quantile(s.took, 0.99))
		s.took = nil
	}
	return nil
}

// Kinds of sandbox.
const (
	kindNone = "launcher, no sandbox"
	kindUser = "sandbox, user of Attune"
	kindRoom = "sandbox, user and namespaces of its own"
)

func kindsHere() []string {
	if os.Geteuid() != 0 {
		return []string{kindNone, kindUser}
	}
	return []string{kindNone, kindUser, kindRoom}
}

func newStarter(ctx context.Context, kind, dir, program string) (*starter, func() error, error) {
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(work, 0o711); err != nil {
		return nil, nil, err
	}
	var box *sandbox.Sandbox
	if kind != kindNone {
		c := sandbox.Config{Dir: filepath.Join(dir, "sandbox"), Hidden: []string{dir}}
		if kind == kindRoom {
			c.Users = sandbox.DefaultUsers
		}
		var err error
		if box, err = sandbox.Open(c); err != nil {
			return nil, nil, err
		}
		if err := box.Show(true, work); err != nil {
			return nil, nil, err
		}
	}
	l, err := process.NewLauncher(process.Config{Seed: dir, Sandbox: box})
	if err != nil {
		return nil, nil, err
	}
	stop := func() error {
		l.Close()
		if box == nil {
			return nil
		}
		return box.Close()
	}
	return &starter{name: kind, run: func() error { return boxedStart(ctx, l, box, program, work) }}, stop, nil
}

// boxedStart starts a program as the runner starts actions.
func boxedStart(ctx context.Context, l *process.Launcher, box *sandbox.Sandbox, program, work string) error {
	s := process.Spec{Path: program, Dir: work, Stdin: []byte("{}")}
	if box != nil {
		user, err := box.TakeUser()
		if err != nil {
			return err
		}
		defer box.GiveUser(user)
		if user != 0 {
			if err := os.Chown(work, int(user), int(user)); err != nil {
				return err
			}
		}
		s.Sandbox = &sandbox.Policy{Write: []string{work}, User: user}
	}
	_, err := l.Run(ctx, s)
	return err
}

func bareStart(program string) error {
	pid, err := syscall.ForkExec(program, []string{program}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return err
	}
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
