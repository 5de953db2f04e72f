package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

// maxParameters bounds a file of parameters that is read; the API bounds what it takes.
const maxParameters = 16 << 20

type runFlags struct {
	following
	params   string
	key      string
	priority string
	json     bool
}

func runCommand(a *app) *cobra.Command {
	var f runFlags
	c := command("run PACK.ACTION [key=value ...]", "Run an action",
		strings.Join([]string{
			"attune run core.echo message=hi --follow",
			"attune run deploy.web hosts:='[\"a\",\"b\"]' dry=true --wait",
			"attune run deploy.web --params - < parameters.json",
			"attune run db.backup password=@prompt        # or password=- < file, password=@FILE, password=@secret:DB",
		}, "\n"),
		cobra.MinimumNArgs(1), a.do(func(ctx context.Context, s *session, args []string) error { return f.run(ctx, s, args) }))
	c.Long = `Run an action. Parameters are key=value; the action's schema says what kind of value each one is, so that
n=3 is a number where the schema wants one. key:=JSON is taken as it is. --params takes a whole object.

With --follow the action's stdout and stderr are this command's, and with --follow or --wait the exit status
tells how the execution ended: 0 succeeded, 1 failed, 3 timed out, 4 canceled, 5 lost. It is 2 when the arguments
are wrong, 6 when the connection was lost before the end, and 130 after Ctrl-C, which does not cancel the execution.

` + sourcesHelp
	c.Flags().StringVar(&f.params, "params", "", "file with the parameters as a JSON object; - is stdin")
	c.Flags().StringVar(&f.key, "idempotency-key", "", "the same key is the same execution, however often this is repeated")
	c.Flags().BoolVar(&f.json, "json", false, "the same as --output json; with --follow the action's output goes to stderr")
	c.Flags().StringVar(&f.priority, "priority", "", "its place among those that wait for the same: "+strings.Join(priorities, ", "))
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if f.json {
			a.output = formatJSON
		}
		return checkPriority(c, f.priority)
	}
	f.flags(c)
	must(c.RegisterFlagCompletionFunc("priority", cobra.FixedCompletions(priorities, cobra.ShellCompDirectiveNoFileComp)))
	must(c.RegisterFlagCompletionFunc("idempotency-key", cobra.NoFileCompletions))
	c.ValidArgsFunction = a.completeRun
	return c
}

func (f *runFlags) run(ctx context.Context, s *session, args []string) error {
	base, err := f.base(s.in)
	if err != nil {
		return err
	}
	parameters, err := s.parameters(ctx, args[0], base, args[1:])
	if err != nil {
		return err
	}
	key := first(f.key, uuid.NewString())
	accepted, err := s.api.Run(ctx, api.ExecutionRequest{
		Action: args[0], Parameters: parameters, Priority: streams.Priority(f.priority),
	}, key)
	if err != nil {
		return refused(args[0], err, s.now)
	}
	return f.after(ctx, s, accepted)
}

var priorities = []string{string(streams.PriorityHigh), string(streams.PriorityNormal), string(streams.PriorityLow)}

func checkPriority(c *cobra.Command, given string) error {
	if given == "" || slices.Contains(priorities, given) {
		return nil
	}
	return usageError(c, fmt.Errorf("--priority %q: want one of %s", given, strings.Join(priorities, ", ")))
}

// refused adds to an error of a queue that takes nothing how it stands, and what to do.
func refused(action string, err error, now time.Time) error {
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || (p.Code != api.CodeQueueFull && p.Code != api.CodeQueueDraining) {
		return err
	}
	var hints []string
	if p.Queue != nil {
		hints = append(hints, standing(p.Queue.Action, *p.Queue, now))
	}
	if p.Code == api.CodeQueueDraining {
		hints = append(hints, "let it take new requests: attune queue resume "+action)
	}
	hints = append(hints, "see who runs and waits:   attune queue show "+action)
	if p.Execution != "" {
		hints = append(hints, "see what became of it:    attune execution show "+p.Execution)
	}
	return hinted(err, hints...)
}

// base reads the object that --params names.
func (f *runFlags) base(stdin io.Reader) (map[string]json.RawMessage, error) {
	if f.params == "" {
		return nil, nil
	}
	data, err := readInput(f.params, stdin, maxParameters)
	if err != nil {
		return nil, fmt.Errorf("--params: %w", err)
	}
	var base map[string]json.RawMessage
	if _, err := strictjson.ParseObject(data); err != nil {
		return nil, WithExit(fmt.Errorf("--params %s: %w", f.params, err), ExitUsage)
	}
	if err := json.Unmarshal(data, &base); err != nil {
		return nil, WithExit(fmt.Errorf("--params %s: %w", f.params, err), ExitUsage)
	}
	return base, nil
}

// readInput reads a file, or stdin for "-".
func readInput(name string, stdin io.Reader, limit int64) ([]byte, error) {
	r := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is over %d bytes", name, limit)
	}
	return data, nil
}

// parameters types key=value by the action's schema, which is asked for only when it is needed.
func (s *session) parameters(ctx context.Context, action string, base map[string]json.RawMessage, args []string) (json.RawMessage, error) {
	var raw json.RawMessage
	if len(args) > 0 || isTerminal(s.in) {
		x, err := s.api.Action(ctx, action)
		if err != nil {
			return nil, err
		}
		raw = x.Parameters
	}
	out, err := s.typed(base, args, raw)
	if err != nil {
		return nil, WithExit(hinted(fmt.Errorf("parameters of %s:\n%w", action, err), "see: attune action show "+action), ExitUsage)
	}
	return out, nil
}

// typed is arguments with the values that come from elsewhere.
func (s *session) typed(base map[string]json.RawMessage, args []string, raw json.RawMessage) (json.RawMessage, error) {
	root, err := parseShape(raw)
	if err != nil {
		return nil, err
	}
	values, rest, err := s.hidden(args, root, true)
	if err != nil {
		return nil, err
	}
	if values = joined(base, values); base == nil {
		err = s.missing(values, rest, root)
	}
	if err != nil {
		return nil, err
	}
	s.warnOfSecrets(rest, root)
	return arguments(values, rest, raw)
}

func joined(base, over map[string]json.RawMessage) map[string]json.RawMessage {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]json.RawMessage{}
	}
	maps.Copy(out, over)
	return out
}

// warnOfSecrets says that values which are to be kept from sight are in sight.
func (s *session) warnOfSecrets(args []string, root shape) {
	for _, arg := range args {
		key, _, _ := strings.Cut(arg, "=")
		if key = strings.TrimSuffix(key, ":"); root.property(key).secret() {
			fmt.Fprintf(s.errw, "attune: parameter %s is secret, but the command line can be seen by others (ps, shell history); better give it as %s=@prompt, %s=- or %s=@FILE\n",
				key, key, key, key)
		}
	}
}

// completeRun offers actions, then the names of the action's parameters.
func (a *app) completeRun(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.offer(c, typed, actionNames)
	}
	words, directive := a.offer(c, typed, func(ctx context.Context, cl *client.Client) ([]cobra.Completion, error) {
		x, err := cl.Action(ctx, args[0])
		if err != nil {
			return nil, err
		}
		root, err := parseShape(x.Parameters)
		if key, _, ok := strings.Cut(typed, "="); ok && err == nil {
			return root.sources(ctx, cl, key)
		}
		return root.keys(args[1:]), err
	})
	return words, directive | cobra.ShellCompDirectiveNoSpace
}

// keys offers the parameters that are not given yet, as "name=".
func (s shape) keys(given []string) []cobra.Completion {
	var out []cobra.Completion
	for _, name := range s.names() {
		there := func(arg string) bool { return strings.HasPrefix(arg, name+"=") || strings.HasPrefix(arg, name+":=") }
		if slices.ContainsFunc(given, there) {
			continue
		}
		about, _ := s.property(name).node["description"].(string)
		out = append(out, cobra.CompletionWithDesc(name+"=", oneLine(about)))
	}
	return out
}
