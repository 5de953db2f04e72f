package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

// completionPatience is how long a person waits for the shell to complete a word.
const completionPatience = time.Second

// completionLimit bounds how many words are offered.
const completionLimit = 500

// completer offers words for the arguments of a command.
type completer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// complete offers the names that fetch finds, for the first argument. When the API does not answer it offers
// none, without a word: the shell is drawing a line.
func (a *app) complete(fetch func(context.Context, *client.Client) ([]cobra.Completion, error)) completer {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.offer(c, typed, fetch)
	}
}

// completeAny offers the names that fetch finds, for every argument, those left out that are there already.
func (a *app) completeAny(fetch func(context.Context, *client.Client) ([]cobra.Completion, error)) completer {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		words, directive := a.offer(c, typed, fetch)
		return slices.DeleteFunc(words, func(w cobra.Completion) bool {
			name, _, _ := strings.Cut(w, "\t")
			return slices.Contains(args, name)
		}), directive
	}
}

func (a *app) offer(c *cobra.Command, typed string, fetch func(context.Context, *client.Client) ([]cobra.Completion, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	t, err := a.locate()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	api, err := a.impatient(t)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(contextOf(c)), completionPatience)
	defer cancel()
	all, err := fetch(ctx, api)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return startingWith(typed, all), cobra.ShellCompDirectiveNoFileComp
}

// contextOf gives the command's context, which cobra leaves out while completing.
func contextOf(c *cobra.Command) context.Context {
	if ctx := c.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

func startingWith(typed string, all []cobra.Completion) []cobra.Completion {
	var out []cobra.Completion
	for _, c := range all {
		if strings.HasPrefix(c, typed) {
			out = append(out, c)
		}
	}
	return out
}

// describe makes completions of things that a list gave.
func describe[T any](things []T, err error, word func(T) (name, description string)) ([]cobra.Completion, error) {
	out := make([]cobra.Completion, 0, len(things))
	for _, t := range things {
		name, description := word(t)
		out = append(out, cobra.CompletionWithDesc(name, oneLine(description)))
	}
	return out, err
}

func packNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Packs(ctx, completionLimit)
	return describe(things, err, func(p api.Pack) (string, string) { return p.Name, p.Description })
}

func actionNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Actions(ctx, "", completionLimit)
	return describe(things, err, func(x api.Action) (string, string) { return x.Ref, x.Description })
}

func triggerNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Triggers(ctx, "", completionLimit)
	return describe(things, err, func(t api.Trigger) (string, string) { return t.Ref, t.Description })
}

func sensorNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Sensors(ctx, "", completionLimit)
	return describe(things, err, func(s api.Sensor) (string, string) { return s.Ref, s.Description })
}

func ruleNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Rules(ctx, nil, completionLimit)
	return describe(things, err, func(r api.Rule) (string, string) { return r.Ref, r.Description })
}

func secretNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Secrets(ctx, client.SecretScope{}, completionLimit)
	return describe(things, err, func(s api.Secret) (string, string) { return s.Name, "" })
}

func runnerNames(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Runners(ctx, completionLimit)
	return describe(things, err, func(r api.Runner) (string, string) { return r.Name, "pool " + r.Pool })
}

func executionIDs(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Executions(ctx, nil, 50)
	return describe(things, err, func(x api.Execution) (string, string) { return x.ID, x.Action + " " + string(x.Status) })
}

func eventIDs(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
	things, _, err := c.Events(ctx, nil, 50)
	return describe(things, err, func(e api.Event) (string, string) { return e.ID, e.Trigger + " " + string(e.Status) })
}

// completing gives a command the words that its first argument may be.
func completing(c *cobra.Command, words completer) *cobra.Command {
	c.ValidArgsFunction = words
	return c
}
