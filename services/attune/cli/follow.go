package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	logs := followLogs(ctx, s, id, stdout)
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
