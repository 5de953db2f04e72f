package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/attune/attune/services/attune/bench/figure"
)

// session is the time in which one mode measures.
type session struct {
	dir    string // of the mode, empty at the start and removed at the end
	rounds int
	binary string
	run    *figure.Run
}

// perform measures a mode, and prints and keeps what it gave.
func (c common) perform(ctx context.Context, m mode, do measure, dir string, args []string) error {
	s := &session{dir: filepath.Join(dir, m.name), rounds: c.rounds, binary: c.binary}
	if err := os.Mkdir(s.dir, 0o711); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	s.run = &figure.Run{
		Mode: m.name, About: m.about, Command: command(args), Began: time.Now().UTC().Truncate(time.Second), Machine: figure.Describe(s.dir),
	}
	began := time.Now()
	if err := do(ctx, s); err != nil {
		return err
	}
	s.run.Seconds, s.run.Machine.LoadAfter = time.Since(began).Round(time.Second).Seconds(), figure.Load()
	s.run.Print(c.w)
	if c.json == "" {
		return nil
	}
	return keepRun(c.json, s.run)
}

// keepRun puts a run into a file of figures.
func keepRun(file string, run *figure.Run) error {
	report, err := figure.Read(file)
	if err != nil {
		return err
	}
	report.Put(run)
	return report.Write(file)
}

// report writes the figures of a file into a document.
func report(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: bench report FILE.json FILE.md", errUsage)
	}
	r, err := figure.Read(args[0])
	if err != nil {
		return err
	}
	return r.Document(args[1])
}

// compare prints how the figures of two files differ.
func compare(args []string, w io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: bench compare BEFORE.json AFTER.json", errUsage)
	}
	before, err := figure.Read(args[0])
	if err != nil {
		return err
	}
	after, err := figure.Read(args[1])
	if err != nil {
		return err
	}
	figure.Compare(w, before, after)
	return nil
}

// command gives the arguments as somebody would type them, without what says nothing about the figures.
func command(args []string) string {
	kept := []string{"bench"}
	for i := 0; i < len(args); i++ {
		switch name := strings.TrimLeft(args[i], "-"); {
		case name == "json" || name == "binary":
			i++ // and its value
		case strings.HasPrefix(name, "json=") || strings.HasPrefix(name, "binary="):
		default:
			kept = append(kept, args[i])
		}
	}
	return strings.Join(kept, " ")
}

// each measures in rounds, and says how far it is.
func (s *session) each(do func(round int) error) error {
	for round := range s.rounds {
		s.say("round %d of %d", round+1, s.rounds)
		if err := do(round); err != nil {
			return err
		}
	}
	return nil
}

// say tells of progress.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", s.run.Mode, fmt.Sprintf(format, args...))
}

// start starts an instance in a folder of its own, with settings that differ from the defaults, if any.
func (s *session) start(ctx context.Context, name string, settings ...string) (*instance, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, err
	}
	return start(ctx, dir, s.binary, settings)
}

// build builds the binary that is measured.
func build(ctx context.Context, file string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", file, "github.com/attune/attune/services/attune").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build attune: %w\n%s", err, out)
	}
	return nil
}

// keep gives the first of two errors.
func keep(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
