package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/sandbox"
)

// startsCommand measures what a start costs, with and without a sandbox.
const startsCommand = "starts"

// starter is one way to start a program and wait for its end.
type starter struct {
	name string
	run  func() error
	took []time.Duration
}

// starts measures the ways in turn, so that a machine that is busy for a while is busy for all.
func starts(ctx context.Context, args []string, w io.Writer) (err error) {
	flags := flag.NewFlagSet("bench "+startsCommand, flag.ContinueOnError)
	samples := flags.Int("samples", 2000, "starts of each kind")
	program := flags.String("program", "/bin/true", "what is started")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "attune-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ways := []*starter{{name: "fork, exec, wait", run: func() error { return bareStart(*program) }}}
	for _, kind := range kindsHere() {
		s, stop, err := newStarter(ctx, kind, filepath.Join(dir, kind), *program)
		if err != nil {
			return err
		}
		defer func() { err = keep(err, stop()) }()
		ways = append(ways, s)
	}
	for range *samples {
		for _, s := range ways {
			began := time.Now()
			if err := s.run(); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.took = append(s.took, time.Since(began))
		}
	}
	printStarts(w, *program, ways)
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

func printStarts(w io.Writer, program string, ways []*starter) {
	fmt.Fprintf(w, "\n%d starts of %s each, in turn\n\n", len(ways[0].took), program)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "how\tp50 ms\tp99 ms\tp50 more than bare")
	var bare float64
	for i, s := range ways {
		slices.Sort(s.took)
		p50 := milliseconds(quantile(s.took, 0.50))
		if i == 0 {
			bare = p50
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\n", s.name, p50, milliseconds(quantile(s.took, 0.99)), p50-bare)
	}
	_ = t.Flush() // a terminal that has gone is no fault of the measurement
}
