package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

func queueDrain(a *app) *cobra.Command {
	var sc scope
	var wait bool
	c := command("drain PACK.ACTION|PACK|--all [--wait]", "Take nothing new, and finish what waits and runs",
		"attune queue drain core.sleep --wait\nattune queue drain --all", sc.args(0),
		a.do(func(ctx context.Context, s *session, args []string) error {
			ref, _ := sc.split(args)
			q, err := s.api.DrainQueues(ctx, ref)
			if err != nil {
				return drainedDespite(ctx, s, ref, err)
			}
			if wait {
				if q, err = awaitDrained(ctx, s, ref, q); err != nil {
					return err
				}
			}
			return s.said(q, "%s", standing(ref, q, s.now))
		}))
	c.Long = `Take no new request for an action, for a pack or for anything, and finish what waits and runs. New requests are
refused until: attune queue resume. With --wait the command ends when nothing waits and nothing runs; Ctrl-C ends
the waiting and not the drain.`
	c.Flags().BoolVarP(&wait, "wait", "w", false, "wait until nothing waits and nothing runs")
	return sc.flags(a, c)
}

// drainedDespite is what is said when Ctrl-C came while the drain was asked for: whether it was heard is looked up.
func drainedDespite(ctx context.Context, s *session, ref string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	now, lookErr := s.api.QueueStats(context.WithoutCancel(ctx), ref)
	if lookErr != nil || !now.Draining {
		return err
	}
	return stillDraining(ref)
}

// errDrained ends the waiting.
var errDrained = errors.New("drained")

// awaitDrained looks each second until nothing of a scope waits or runs, and gives how it stands then.
func awaitDrained(ctx context.Context, s *session, ref string, q api.QueueStats) (api.QueueStats, error) {
	if q.Paused && q.Waiting > 0 {
		fmt.Fprintf(s.errw, "attune: %s is %s: what waits does not start before the pause ends\n", scopeText(ref), pausedText(q.PausedUntil, s.now))
	}
	p := newProgress(s)
	defer p.done()
	hasty := s.api.Impatient() // it is asked again anyway
	err := repeatedly(ctx, func() error {
		now, err := hasty.QueueStats(ctx, ref)
		switch {
		case err != nil && passing(err):
			p.say("%s", err)
			return nil
		case err != nil:
			return err
		}
		if q = now; q.Running+q.Waiting+q.Delayed == 0 {
			return errDrained
		}
		p.say("%s", leftText(q))
		return nil
	})
	switch {
	case errors.Is(err, errDrained):
		return q, nil
	case ctx.Err() != nil:
		p.done()
		return q, stillDraining(ref)
	}
	return q, err
}

func stillDraining(ref string) error {
	name := ref
	if ref == streams.ScopeAll {
		name = "--all"
	}
	return WithExit(hinted(fmt.Errorf("stopped waiting; %s goes on draining", scopeText(ref)),
		"wait again:              attune queue drain "+name+" --wait",
		"take new requests again: attune queue resume "+name), ExitInterrupted)
}

// leftText says what a drain still waits for.
func leftText(q api.QueueStats) string {
	text := fmt.Sprintf("%d running, %d waiting", q.Running, q.Waiting)
	if q.Delayed > 0 {
		text += fmt.Sprintf(", %d between two attempts", q.Delayed)
	}
	if q.Waiting > 0 && q.EstimatedDrainSeconds > 0 {
		text += "; about " + seconds(q.EstimatedDrainSeconds) + " until all have started"
	}
	return text
}
