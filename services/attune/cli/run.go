package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
	"github.com/attune/attune/pkg/strictjson"
)

// maxParameters bounds a file of parameters that is read; the API bounds what it takes.
const maxParameters = 16 << 20

type runFlags struct {
	following
	params string
	key    string
	json   bool
}

func runCommand(a *app) *cobra.Command {
	var f runFlags
	c := command("run PACK.ACTION [key=value ...]", "Run an action",
		strings.Join([]string{
			"attune run core.echo message=hi --follow",
			"attune run deploy.web hosts:='[\"a\",\"b\"]' dry=true --wait",
			"attune run deploy.web --params - < parameters.json",
		}, "\n"),
		cobra.MinimumNArgs(1), a.do(func(ctx context.Context, s *session, args []string) error { return f.run(ctx, s, args) }))
	c.Long = `Run an action. Parameters are key=value; the action's schema says what kind of value each one is, so that
n=3 is a number where the schema wants one. key:=JSON is taken as it is. --params takes a whole object.

With --follow the action's stdout and stderr are this command's, and with --follow or --wait the exit status
tells how the execution ended: 0 succeeded, 1 failed, 3 timed out, 4 canceled, 5 lost. It is 2 when the arguments
are wrong, 6 when the connection was lost before the end, and 130 after Ctrl-C, which does not cancel the execution.`
	c.Flags().StringVar(&f.params, "params", "", "file with the parameters as a JSON object; - is stdin")
	c.Flags().StringVar(&f.key, "idempotency-key", "", "the same key is the same execution, however often this is repeated")
	c.Flags().BoolVar(&f.json, "json", false, "the same as --output json; with --follow the action's output goes to stderr")
	c.PreRun = func(*cobra.Command, []string) {
		if f.json {
			a.output = formatJSON
		}
	}
	f.flags(c)
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
	accepted, err := s.api.Run(ctx, api.ExecutionRequest{Action: args[0], Parameters: parameters}, key)
	if err != nil {
		return err
	}
	return f.after(ctx, s, accepted)
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
	if len(args) > 0 {
		x, err := s.api.Action(ctx, action)
		if err != nil {
			return nil, err
		}
		raw = x.Parameters
	}
	out, err := arguments(base, args, raw)
	if err != nil {
		return nil, WithExit(hinted(fmt.Errorf("parameters of %s:\n%w", action, err), "see: attune action show "+action), ExitUsage)
	}
	s.warnOfSecrets(args, raw)
	return out, nil
}

// warnOfSecrets says that values which are to be kept from sight are in sight.
func (s *session) warnOfSecrets(args []string, raw json.RawMessage) {
	root, err := parseShape(raw)
	if err != nil {
		return
	}
	for _, arg := range args {
		key, _, _ := strings.Cut(arg, "=")
		if key = strings.TrimSuffix(key, ":"); root.property(key).secret() {
			fmt.Fprintf(s.errw, "attune: parameter %s is secret, but the command line can be seen by others (ps, shell history); better give it by --params -\n", key)
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
