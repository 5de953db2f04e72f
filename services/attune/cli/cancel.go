package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/streams"
)

// cancelFlags says which executions to cancel, and how far to ask before.
type cancelFlags struct {
	action, rule, olderThan string
	statuses                []string
	all, dry, yes           bool
}

func executionCancel(a *app) *cobra.Command {
	var f cancelFlags
	c := command("cancel ID... | --action A | --rule R | --status S | --older-than 1h | --all", "Cancel executions that wait or run",
		strings.Join([]string{
			"attune execution cancel 0199f3a0-7d1c-7000-8000-000000000001",
			"attune execution cancel --action deploy.web --status requested --older-than 1h",
			"attune execution cancel --all --dry-run",
		}, "\n"), f.args, a.do(func(ctx context.Context, s *session, args []string) error {
			if len(args) > 0 {
				return cancelNamed(ctx, s, args)
			}
			return f.cancel(ctx, s)
		}))
	c.Long = `Cancel the executions that are named, or all that wait or run and fit what the flags say. Of those it first says
how many they are, and asks; without a terminal to ask on it wants --yes. Those that wait are canceled before those
that run, the newest first, so that none of them starts because another has ended.`
	f.flags(a, c)
	c.ValidArgsFunction = a.completeAny(executionIDs)
	return c
}

func (f *cancelFlags) flags(a *app, c *cobra.Command) {
	c.Flags().StringVar(&f.action, "action", "", "those of this action")
	c.Flags().StringVar(&f.rule, "rule", "", "those requested by this rule")
	c.Flags().StringSliceVar(&f.statuses, "status", nil, "those with this status: "+strings.Join(cancelable, ", "))
	c.Flags().StringVar(&f.olderThan, "older-than", "", "those requested longer ago than this: 90s, 1h, 7d")
	c.Flags().BoolVar(&f.all, "all", false, "all that wait or run")
	c.Flags().BoolVar(&f.dry, "dry-run", false, "only say how many there are")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	must(c.RegisterFlagCompletionFunc("action", a.complete(actionNames)))
	must(c.RegisterFlagCompletionFunc("rule", a.complete(ruleNames)))
	must(c.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(cancelable, cobra.ShellCompDirectiveNoFileComp)))
	must(c.RegisterFlagCompletionFunc("older-than", cobra.NoFileCompletions))
}

// cancelable are the statuses of what can be canceled.
var cancelable = []string{string(streams.Requested), string(streams.Running)}

// filters tells whether anything says which executions, other than their ids.
func (f *cancelFlags) filters() bool {
	return f.action != "" || f.rule != "" || f.olderThan != "" || len(f.statuses) > 0 || f.all
}

func (f *cancelFlags) args(_ *cobra.Command, ids []string) error {
	switch {
	case len(ids) > 0 && (f.filters() || f.dry):
		return errors.New("ids and filters exclude each other: name executions, or say which with flags")
	case len(ids) == 0 && !f.filters():
		return errors.New("which executions? name their ids, or give --action, --rule, --status, --older-than or --all")
	}
	for _, status := range f.statuses {
		if !slices.Contains(cancelable, status) {
			return fmt.Errorf("--status %q: want %s", status, strings.Join(cancelable, " or "))
		}
	}
	_, err := positive("older-than", f.olderThan)
	return err
}

func (f *cancelFlags) request() (api.CancelRequest, error) {
	d, err := positive("older-than", f.olderThan)
	r := api.CancelRequest{Action: f.action, Rule: f.rule, All: f.all}
	if d > 0 {
		r.OlderThan = d.String()
	}
	for _, status := range f.statuses {
		r.Statuses = append(r.Statuses, streams.Status(status))
	}
	return r, err
}

// what says in words which executions the flags mean.
func (f *cancelFlags) what() string {
	parts := []string{"that " + first(map[string]string{
		string(streams.Requested): "wait", string(streams.Running): "run",
	}[strings.Join(f.statuses, ",")], "wait or run")}
	if f.action != "" {
		parts = append(parts, "of action "+f.action)
	}
	if f.rule != "" {
		parts = append(parts, "of rule "+f.rule)
	}
	if f.olderThan != "" {
		parts = append(parts, "requested more than "+f.olderThan+" ago")
	}
	return strings.Join(parts, " ")
}

// cancelNamed cancels executions one by one. One that cannot be canceled does not keep the others.
func cancelNamed(ctx context.Context, s *session, ids []string) error {
	var errs []error
	for _, id := range ids {
		x, err := s.api.Cancel(ctx, id)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := s.said(x, "execution %s is %s", x.ID, x.Status); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// cancel counts what fits, asks, and cancels it.
func (f *cancelFlags) cancel(ctx context.Context, s *session) error {
	r, err := f.request()
	if err != nil {
		return err
	}
	r.DryRun = true
	found, err := s.api.CancelMatching(ctx, r)
	if err != nil {
		return err
	}
	switch {
	case f.dry:
		return s.said(found, "%s would be canceled: those %s", plural(found.Matched, "execution"), f.what())
	case found.Matched == 0:
		return s.said(found, "there are no executions %s", f.what())
	case !f.yes:
		if err := s.confirm(ctx, fmt.Sprintf("cancel %s %s?", plural(found.Matched, "execution"), f.what())); err != nil {
			return err
		}
	}
	r.DryRun = false
	return f.cancelAll(ctx, s, r)
}

// cancelAll cancels what fits, which may take many requests.
func (f *cancelFlags) cancelAll(ctx context.Context, s *session, r api.CancelRequest) error {
	p := newProgress(s)
	done, err := s.api.CancelAllMatching(ctx, r, func(sum api.CancelResult) {
		p.say("%d of %d canceled", sum.Canceled, sum.Matched)
	})
	p.done()
	if err != nil {
		if ctx.Err() != nil {
			err = WithExit(errors.New("stopped"), ExitInterrupted)
		}
		return fmt.Errorf("%d of %d executions are canceled: %w", done.Canceled, done.Matched, err)
	}
	return s.said(done, "%s", canceledText(done))
}

func canceledText(r api.CancelResult) string {
	text := plural(r.Canceled, "execution") + " canceled"
	if ended := r.Matched - r.Canceled; ended > 0 {
		text += fmt.Sprintf("; %d had ended before", ended)
	}
	return text
}
