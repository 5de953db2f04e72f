package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/attune/cli"
	"github.com/attune/attune/streams"
)

// run runs the program in this process.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	root := cli.New("v1.2.3")
	root.SetArgs(args)
	root.SetIn(strings.NewReader(""))
	root.SetOut(&out)
	root.SetErr(&errs)
	code = cli.Execute(t.Context(), root)
	return out.String(), errs.String(), code
}

// every calls do for every command that users see.
func every(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		if sub.Name() != "help" {
			every(sub, do)
		}
	}
}

func TestEveryCommandIsDescribed(t *testing.T) {
	t.Parallel()
	every(cli.New("v1"), func(c *cobra.Command) {
		path := c.CommandPath()
		if c.Short == "" || strings.ContainsAny(c.Short, "\n") || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: description %q", path, c.Short)
		}
		if !strings.Contains(c.Example, path) {
			t.Errorf("%s: no example of it in %q", path, c.Example)
		}
	})
}

// TestEveryExampleCanBeTyped finds the command of each example and lets it read its flags and arguments.
func TestEveryExampleCanBeTyped(t *testing.T) {
	t.Parallel()
	every(cli.New("v1"), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			_, typed, found := strings.Cut(line, "attune ")
			if !found {
				t.Errorf("%s: example %q is none of attune", c.CommandPath(), line)
				continue
			}
			if err := parses(words(typed)); err != nil {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
			}
		}
	})
}

func parses(args []string) error {
	c, rest, err := cli.New("v1").Find(args)
	if err != nil {
		return err
	}
	if !c.Runnable() || c.HasSubCommands() {
		return fmt.Errorf("%s is only a group", c.CommandPath())
	}
	c.InitDefaultHelpFlag()
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return c.ValidateArgs(c.Flags().Args())
}

// words takes a line apart as a shell would, as far as the examples go: to the first redirection, pipe or comment.
func words(line string) []string {
	var out []string
	var word strings.Builder
	quoted, begun := false, false
	var by rune // the quote that began it
	for _, r := range strings.TrimSpace(line) + " " {
		switch {
		case !quoted && (r == '\'' || r == '"'):
			quoted, begun, by = true, true, r
		case quoted && r == by:
			quoted = false
		case !quoted && strings.ContainsRune(" <>|#)", r):
			if begun {
				out = append(out, word.String())
			}
			word.Reset()
			begun = false
			if r != ' ' {
				return out
			}
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	return out
}

func TestWrongUseSaysSo(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"frobnicate":                            `unknown command "frobnicate"`,
		"pack instal x":                         `did you mean "install"?`,
		"execution show":                        "accepts 1 arg(s), received 0",
		"execution list --stats failed":         "unknown flag: --stats",
		"pack list -o csv":                      `--output "csv": want one of table, json, yaml, jsonl`,
		"execution list --since yesterday":      `--since "yesterday": want a time`,
		"logs x --stream both":                  `--stream "both": want stdout or stderr`,
		"logs x --offset 5":                     "--offset needs --stream",
		"logs x --tail -1":                      "--tail -1: want",
		"logs x --grep (":                       "--grep: ",
		"logs x --since yesterday":              `--since "yesterday": want a time`,
		"logs x -o yaml":                        "as records with jsonl",
		"execution export ../x":                 `"../x" is no execution's id`,
		"rule test a.b":                         "want one of an event's id, --payload and --since",
		"rule test a.b --payload {} --since 1h": "want one of an event's id, --payload and --since",
		"event publish a.b {bad":                "payload: ",
		"--api-url localhost pack list":         "want http://HOST:PORT",
		"completion powershell":                 "powershell",
		"run a.b --priority urgent":             `--priority "urgent": want one of high, normal, low`,
		"queue show a.b --watch":                "--watch draws on a terminal",
		"queue pause":                           "which queues?",
		"queue pause a.b --all":                 "--all stands in place of",
		"queue pause a.b --for ever":            `--for "ever": want a duration`,
		"queue resume a b":                      "accepts between 1 and 1 arg(s), received 2",
		"queue limit a.b":                       "want one of N and --declared",
		"queue limit a.b 3 --declared":          "want one of N and --declared",
		"queue limit --all 0":                   `limit "0": want a whole number from 1`,
		"queue limit --all a.b 3":               "--all stands in place of",
		"execution cancel":                      "which executions?",
		"execution cancel x --all":              "ids and filters exclude each other",
		"execution cancel --status failed":      `--status "failed": want requested or running`,
		"execution cancel --older-than -1h":     `--older-than "-1h": want a duration`,
	}
	for line, want := range cases {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--api-url", "http://127.0.0.1:1"}, strings.Fields(line)...)
			stdout, stderr, code := run(t, args...)
			if code != cli.ExitUsage || stdout != "" || !strings.Contains(stderr, want) {
				t.Errorf("status %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
	if _, stderr, code := run(t, "execution", "show", ""); code != cli.ExitUsage || !strings.Contains(stderr, "an argument is empty") {
		t.Errorf("an empty argument: status %d: %s", code, stderr)
	}
}

func TestHelpIsNoError(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "--help", "pack", "run --help", "help queue show"} {
		stdout, stderr, code := run(t, strings.Fields(line)...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "Usage:") {
			t.Errorf("%q: status %d, stderr %q", line, code, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{"version": "attune v1.2.3 (go1.", "--version": "attune v1.2.3\n", "version -o json": `"version": "v1.2.3"`} {
		if stdout, _, code := run(t, strings.Fields(line)...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: status %d: %s", line, code, stdout)
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for shell, want := range map[string]string{"bash": "complete -o default", "zsh": "#compdef attune", "fish": "complete -c attune"} {
		if stdout, _, code := run(t, "completion", shell); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: status %d, %d bytes", shell, code, len(stdout))
		}
	}
}

// fakeAPI answers GET requests with what is given by path.
func fakeAPI(t *testing.T, answers map[string]any) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			answer = api.Problem{Status: http.StatusNotFound, Code: api.CodeNotFound, Detail: "there is no " + r.URL.Path}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestNamesAreCompleted(t *testing.T) {
	t.Parallel()
	echo := api.Action{Ref: "core.echo", Description: "Say it", Parameters: json.RawMessage(
		`{"properties":{"message":{"type":"string","description":"What to say"},"times":{"type":"integer"}}}`)}
	url := fakeAPI(t, map[string]any{
		"/api/v1/actions":           api.Page[api.Action]{Items: []api.Action{echo, {Ref: "deploy.web"}}},
		"/api/v1/actions/core.echo": echo,
		"/api/v1/packs":             api.Page[api.Pack]{Items: []api.Pack{{Name: "core"}, {Name: "github"}}},
		"/api/v1/rules":             api.Page[api.Rule]{Items: []api.Rule{{Ref: "github.label"}}},
		"/api/v1/triggers":          api.Page[api.Trigger]{Items: []api.Trigger{{Ref: "github.issues"}}},
		"/api/v1/sensors":           api.Page[api.Sensor]{Items: []api.Sensor{{Ref: "disk.watch"}}},
		"/api/v1/secrets":           api.Page[api.Secret]{Items: []api.Secret{{Name: "API_KEY"}}},
		"/api/v1/executions":        api.Page[api.Execution]{Items: []api.Execution{{ID: "x-1", Action: "core.echo", Status: streams.Running}}},
		"/api/v1/events":            api.Page[api.Event]{Items: []api.Event{{ID: "e-1", Trigger: "github.issues"}}},
	})
	cases := map[string][]string{
		"run co":                      {"core.echo\tSay it"},
		"run core.echo ":              {"message=\tWhat to say", "times="},
		"run core.echo message=hi ":   {"times="},
		"action show ":                {"core.echo\tSay it", "deploy.web"},
		"action list --pack ":         {"core", "github"},
		"pack show g":                 {"github"},
		"rule disable ":               {"github.label"},
		"rule test github.label ":     {"e-1\tgithub.issues"},
		"event publish ":              {"github.issues"},
		"event list --status ":        {"received", "decided", "rejected"},
		"sensor show ":                {"disk.watch"},
		"secret delete ":              {"API_KEY"},
		"logs ":                       {"x-1\tcore.echo running"},
		"execution cancel x":          {"x-1\tcore.echo running"},
		"execution cancel x-1 ":       nil,
		"execution cancel y ":         {"x-1\tcore.echo running"},
		"execution cancel --status ":  {"requested", "running"},
		"queue show d":                {"deploy.web"},
		"queue pause d":               {"deploy.web"},
		"queue limit c":               {"core.echo\tSay it", "core"},
		"queue show --all ":           nil,
		"queue drain --all ":          nil,
		"run --priority ":             {"high", "normal", "low"},
		"pack list -o ":               {"table", "json", "yaml", "jsonl"},
		"logs x --stream ":            {"stdout", "stderr"},
		"completion ":                 {"bash", "zsh", "fish"},
		"action show core.echo extra": nil,
	}
	for line, want := range cases {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"__complete"}, strings.Split(line, " ")...)
			stdout, _, code := run(t, slices.Insert(args, 1, "--api-url", url)...)
			lines := strings.Split(strings.TrimSpace(stdout), "\n")
			got := lines[:len(lines)-1] // the last one tells the shell what not to do
			if len(got) == 0 {
				got = nil
			}
			if diff := cmp.Diff(want, got); diff != "" || code != 0 {
				t.Errorf("status %d\n%s", code, diff)
			}
		})
	}
}

func TestWithoutAnAPINothingIsCompletedAndNothingSaid(t *testing.T) {
	t.Parallel()
	stdout, _, code := run(t, "__complete", "--api-url", "http://127.0.0.1:1", "action", "show", "")
	if code != 0 || strings.TrimSpace(stdout) != ":4" {
		t.Errorf("status %d: %q", code, stdout)
	}
}

func TestTheTokenOfAFileGoesOnlyToItsAPI(t *testing.T) {
	t.Parallel()
	tokens := make(chan string, 8) // more than the requests of this test
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.Header.Get("Authorization")
		fmt.Fprint(w, `{"items":[]}`)
	}))
	t.Cleanup(s.Close)
	dir := announce(t, s.URL, "of-the-file")
	other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	cases := []struct{ args, want string }{
		{"", "Bearer of-the-file"},
		{"--token mine", "Bearer mine"},
		{"--api-url " + s.URL, "Bearer of-the-file"},
		{"--api-url " + other, ""},
		{"--api-url " + other + " --token mine", "Bearer mine"},
	}
	for _, c := range cases {
		args := append(strings.Fields(c.args), "--data", dir, "pack", "list")
		if _, stderr, code := run(t, args...); code != 0 {
			t.Fatalf("%s: status %d: %s", c.args, code, stderr)
		}
		if got := <-tokens; got != c.want {
			t.Errorf("%q: sent %q, want %q", c.args, got, c.want)
		}
	}
}

func TestWebhooksSayHowTheyAreVerified(t *testing.T) {
	t.Parallel()
	url := fakeAPI(t, map[string]any{"/api/v1/triggers": api.Page[api.Trigger]{Items: []api.Trigger{
		{Ref: "core.timer"},
		{Ref: "shop.paid", Webhook: &api.Webhook{Scheme: "stripe", Secrets: []string{"NEW", "OLD"}, Path: "/api/v1/webhooks/shop/paid"}},
		{Ref: "shop.open", Webhook: &api.Webhook{Scheme: "none", AllowUnauthenticated: true, Path: "/api/v1/webhooks/shop/open"}},
	}}})
	stdout, stderr, code := run(t, "webhook", "list", "--api-url", url)
	for _, part := range []string{"stripe", "NEW, OLD", "nothing: ANYBODY may deliver", "/api/v1/webhooks/shop/open"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("it does not say %q: %s", part, stdout)
		}
	}
	if code != 0 || strings.Contains(stdout, "core.timer") {
		t.Errorf("status %d\n%s%s", code, stdout, stderr)
	}
}
