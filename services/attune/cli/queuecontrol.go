package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/streams"
)

// scope is what a control of queues is about: an action, a pack, or everything.
type scope struct{ all bool }

// args wants a REF, or --all in its place, and after it so many others at most.
func (sc *scope) args(others int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		named := 1
		if sc.all {
			named = 0
		}
		switch {
		case sc.all && len(args) > others:
			return errors.New("--all stands in place of PACK.ACTION or PACK: give one of the two")
		case len(args) < named:
			return errors.New("want PACK.ACTION, PACK or --all: which queues?")
		case len(args) > named+others:
			return cobra.RangeArgs(named, named+others)(nil, args)
		}
		return nil
	}
}

// split gives the scope that was named, and the arguments after it.
func (sc *scope) split(args []string) (ref string, rest []string) {
	if sc.all {
		return streams.ScopeAll, args
	}
	return args[0], args[1:]
}

// scopeText says in a sentence which queues a scope is about.
func scopeText(ref string) string {
	switch {
	case ref == streams.ScopeAll:
		return "every queue"
	case !strings.Contains(ref, "."):
		return "every queue of pack " + ref
	}
	return "queue " + ref
}

// flags gives a command --all, and its first argument the names of what it can be about.
func (sc *scope) flags(a *app, c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&sc.all, "all", false, "every queue, in place of PACK.ACTION or PACK")
	c.ValidArgsFunction = a.completeScope(sc)
	return c
}

func (a *app) completeScope(sc *scope) completer {
	names := a.complete(scopeNames)
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if sc.all {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(c, args, typed)
	}
}

// scopeNames offers actions, and the packs that they are of.
func scopeNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	actions, err := actionNames(ctx, c)
	if err != nil {
		return nil, err
	}
	packs, err := packNames(ctx, c)
	return append(actions, packs...), err
}

// control makes a command's function of a request about a scope.
func (a *app) control(sc *scope, request func(ctx context.Context, s *session, ref string, rest []string) (api.QueueStats, error)) func(*cobra.Command, []string) error {
	return a.do(func(ctx context.Context, s *session, args []string) error {
		ref, rest := sc.split(args)
		q, err := request(ctx, s, ref, rest)
		if err != nil {
			return err
		}
		return s.said(q, "%s", standing(ref, q, s.now))
	})
}

// standing says in a sentence how a scope stands.
func standing(ref string, q api.QueueStats, now time.Time) string {
	return fmt.Sprintf("%s is %s: %d running, %d waiting", scopeText(ref), queueState(q, now), q.Running, q.Waiting)
}

func queuePause(a *app) *cobra.Command {
	var sc scope
	var length string
	c := command("pause PACK.ACTION|PACK|--all [--for 2h]", "Let no execution of an action start; those that run go on",
		"attune queue pause core.sleep\nattune queue pause core --for 2h\nattune queue pause --all", sc.args(0),
		a.control(&sc, func(ctx context.Context, s *session, ref string, _ []string) (api.QueueStats, error) {
			d, err := positive("for", length)
			if err != nil {
				return api.QueueStats{}, err
			}
			return s.api.PauseQueues(ctx, ref, d)
		}))
	c.Long = `Let no execution of an action, of a pack or of anything start. Those that run go on; requests are taken, and wait.
With --for the pause ends by itself, without it with: attune queue resume.`
	c.Flags().StringVar(&length, "for", "", "end the pause by itself after this long: 90s, 2h, 1d")
	must(c.RegisterFlagCompletionFunc("for", cobra.NoFileCompletions))
	return sc.flags(a, c)
}

// positive reads a flag's duration, 0 when it was not given.
func positive(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := duration(text)
	if err != nil || d <= 0 {
		return 0, WithExit(fmt.Errorf("--%s %q: want a duration, such as 90s, 2h or 1d", flag, text), ExitUsage)
	}
	return d, nil
}

func queueResume(a *app) *cobra.Command {
	var sc scope
	c := command("resume PACK.ACTION|PACK|--all", "End a pause or a drain", "attune queue resume core.sleep\nattune queue resume --all",
		sc.args(0), a.control(&sc, func(ctx context.Context, s *session, ref string, _ []string) (api.QueueStats, error) {
			return s.api.ResumeQueues(ctx, ref)
		}))
	return sc.flags(a, c)
}

func queueLimit(a *app) *cobra.Command {
	var sc scope
	var declared bool
	c := command("limit PACK.ACTION|PACK|--all N|--declared", "Change how many run at once",
		"attune queue limit core.sleep 5\nattune queue limit --all 100\nattune queue limit core.sleep --declared", sc.args(1),
		a.control(&sc, func(ctx context.Context, s *session, ref string, rest []string) (api.QueueStats, error) {
			n, err := wantedLimit(rest, declared)
			if err != nil {
				return api.QueueStats{}, err
			}
			return s.api.LimitQueues(ctx, ref, n)
		}))
	c.Long = `Change how many executions of an action, of a pack or of anything run at once, in place of what the action or the
pack declares. It holds until it is changed again or given back with --declared. Those that run already go on.`
	c.Flags().BoolVar(&declared, "declared", false, "back to the limit that the action or pack declares")
	return sc.flags(a, c)
}

// wantedLimit reads the limit, nil being the declared one.
func wantedLimit(args []string, declared bool) (*int, error) {
	if declared == (len(args) == 1) {
		return nil, WithExit(errors.New("want one of N and --declared: which limit?"), ExitUsage)
	}
	if declared {
		return nil, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return nil, WithExit(hinted(fmt.Errorf("limit %q: want a whole number from 1", args[0]), "to let nothing start: attune queue pause"), ExitUsage)
	}
	return &n, nil
}
