package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

// following is what a command does after an execution was accepted.
type following struct{ follow, wait bool }

func (f *following) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "print the action's output as it comes, and exit as it ended")
	c.Flags().BoolVarP(&f.wait, "wait", "w", false, "wait for the end, print the execution, and exit as it ended")
}

// after follows or waits for an accepted execution, or prints that it was accepted.
func (f *following) after(ctx context.Context, s *session, accepted api.ExecutionAccepted) error {
	switch {
	case f.follow:
		return followRun(ctx, s, accepted.ID)
	case f.wait:
		return waitRun(ctx, s, accepted.ID)
	}
	defer s.note("follow it with: attune logs -f %s", accepted.ID)
	return showOne(s.view, accepted, showAccepted)
}

func showAccepted(s *sheet, x api.ExecutionAccepted) {
	s.field("execution", x.ID)
	s.painted("status", string(x.Status), paint.status)
	if waiting(x.Status, x.Position) {
		s.field("position", strconv.Itoa(*x.Position))
	}
	if x.EstimatedStartAt != nil {
		s.field("estimated start", estimateText(s, *x.EstimatedStartAt, x.EstimateError))
	}
}

// waiting tells whether an execution stands in line at a place that is known.
func waiting(status streams.Status, position *int) bool {
	return status == streams.Requested && position != nil && *position > 0
}

// waitRun waits for the end and prints the execution.
func waitRun(ctx context.Context, s *session, id string) error {
	x, err := s.api.Wait(ctx, id, s.progress)
	if err != nil {
		return brokenOff(ctx, id, err)
	}
	if err := showOne(s.view, x, showExecution); err != nil {
		return err
	}
	return endOf(x)
}

// progress tells a person at the terminal where a long wait stands.
func (s *session) progress(x api.Execution) error {
	if waiting(x.Status, x.Position) {
		s.note("execution %s waits at position %d of its queue", x.ID, *x.Position)
	}
	return nil
}

// followRun copies an execution's output while it runs. With data asked for, the data alone goes to stdout.
func followRun(ctx context.Context, s *session, id string) error {
	s.errw = &shared{w: s.errw}
	stdout := s.out
	if s.format != formatTable {
		stdout = s.errw
	}
	var last api.Execution
	var g errgroup.Group
	g.Go(func() (err error) { last, err = s.api.Wait(ctx, id, s.progress); return err })
	logs := followLogs(ctx, s, client.Log{Execution: id, Follow: true}, stdout)
	if err := g.Wait(); err != nil {
		return brokenOff(ctx, id, err)
	}
	if s.format != formatTable {
		if err := s.data(last); err != nil {
			return err
		}
	}
	if logs != nil {
		fmt.Fprintf(s.errw, "attune: %v: %v\n", errLogsBroken, logs)
	}
	return endOf(last)
}

var errLogsBroken = errors.New("the output could not be followed to its end")

// shared is a writer that several goroutines write to.
type shared struct {
	mu sync.Mutex // guards the calls of w
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// followLogs copies both streams, each to its own.
func followLogs(ctx context.Context, s *session, l client.Log, stdout io.Writer) error {
	var g errgroup.Group
	follow := func(stream string, w io.Writer) {
		one := l
		one.Stream = stream
		g.Go(func() error { _, err := s.api.Logs(ctx, one, w); return err })
	}
	follow(streamStdout, stdout)
	follow(streamStderr, s.errw)
	return g.Wait()
}

// brokenOff says that an execution goes on though nobody follows it any more, and what can be done.
func brokenOff(ctx context.Context, id string, err error) error {
	hints := []string{
		"follow it again: attune logs -f " + id,
		"see how it ends: attune execution show " + id,
		"cancel it:       attune execution cancel " + id,
	}
	if ctx.Err() != nil {
		return WithExit(hinted(fmt.Errorf("stopped following; execution %s goes on", id), hints...), ExitInterrupted)
	}
	if !errors.Is(err, client.ErrUnreachable) {
		return err
	}
	return WithExit(hinted(fmt.Errorf("execution %s: lost sight of it: %w", id, err), hints...), ExitUnknown)
}

// endOf is the error, with its exit status, that an execution's end stands for.
func endOf(x api.Execution) error {
	code := ExitFailed
	switch x.Status {
	case streams.Succeeded:
		return nil
	case streams.TimedOut:
		code = ExitTimedOut
	case streams.Canceled:
		code = ExitCanceled
	case streams.Lost:
		code = ExitLost
	case streams.Failed, streams.Requested, streams.Running, streams.Canceling:
	}
	err := fmt.Errorf("%s %s", x.Action, endText(x))
	return WithExit(hinted(err, "see: attune execution show "+x.ID), code)
}

func endText(x api.Execution) string {
	text := map[streams.Status]string{streams.TimedOut: "timed out", streams.Canceled: "was canceled", streams.Lost: "was lost"}[x.Status]
	text = first(text, string(x.Status))
	if x.Error != nil && x.Error.Message != "" {
		text += ": " + x.Error.Message
	}
	return text
}

// Streams of an execution's output.
const (
	streamStdout = "stdout"
	streamStderr = "stderr"
)

// logsCommand is the short form of execution logs; path is how it is called.
func logsCommand(a *app, path string) *cobra.Command {
	var l client.Log
	c := command("logs ID [-f] [--stream stdout|stderr] [--tail N]", "Print the output of an execution",
		path+" -f 0199f3a0-7d1c-7000-8000-000000000001\n"+path+" 0199f3a0-7d1c-7000-8000-000000000001 --stream stderr --tail 20",
		cobra.ExactArgs(1), a.do(func(ctx context.Context, s *session, args []string) error {
			l.Execution = args[0]
			return printLogs(ctx, s, l)
		}))
	c.Long = `Print the output of an execution: its stdout on stdout and its stderr on stderr, or one of them on stdout. With
-f it goes on until the execution has ended, and resumes by itself after a broken connection.`
	c.Flags().BoolVarP(&l.Follow, "follow", "f", false, "go on until the execution has ended")
	c.Flags().StringVar(&l.Stream, "stream", "", "only stdout or stderr")
	c.Flags().IntVar(&l.Tail, "tail", 0, "only the last N lines of each stream")
	c.Flags().Int64Var(&l.Offset, "offset", 0, "begin at this byte; needs --stream")
	c.PreRunE = func(c *cobra.Command, _ []string) error { return checkLogs(c, l) }
	must(c.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{streamStdout, streamStderr}, cobra.ShellCompDirectiveNoFileComp)))
	return completing(c, a.complete(executionIDs))
}

func checkLogs(c *cobra.Command, l client.Log) error {
	switch {
	case l.Stream != "" && l.Stream != streamStdout && l.Stream != streamStderr:
		return usageError(c, fmt.Errorf("--stream %q: want stdout or stderr", l.Stream))
	case l.Tail < 0:
		return usageError(c, fmt.Errorf("--tail %d: want a number that is not negative", l.Tail))
	case l.Offset < 0:
		return usageError(c, fmt.Errorf("--offset %d: want a number that is not negative", l.Offset))
	case l.Offset > 0 && l.Stream == "":
		return usageError(c, errors.New("--offset needs --stream: each stream has offsets of its own"))
	case l.Offset > 0 && l.Tail > 0:
		return usageError(c, errors.New("--offset and --tail exclude each other"))
	}
	return nil
}

func printLogs(ctx context.Context, s *session, l client.Log) error {
	var err error
	if l.Stream != "" {
		_, err = s.api.Logs(ctx, l, s.out)
	} else {
		err = followLogs(ctx, s, l, s.out)
	}
	if errors.Is(err, os.ErrClosed) || ctx.Err() == nil {
		return err
	}
	return WithExit(hinted(errors.New("stopped following"), "follow it again: attune logs -f "+l.Execution), ExitInterrupted)
}
