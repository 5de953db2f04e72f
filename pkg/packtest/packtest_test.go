package packtest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/packtest"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
)

var launcher = sync.OnceValue(func() *process.Launcher {
	l, err := process.NewLauncher(process.Config{Seed: fmt.Sprint("packtest ", os.Getpid())})
	if err != nil {
		panic(err)
	}
	return l
})

func TestMain(m *testing.M) {
	code := m.Run()
	launcher().Close()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var files = map[string]string{
	"pack.yaml":           "name: shop\nversion: 1.0.0\nconfig: {properties: {greeting: {type: string, default: hello}}, additionalProperties: false}\n",
	"actions/greet.yaml":  "runtime: shell\nentry_point: greet.sh\nvariables: true\nparameters: {required: [name], properties: {name: {type: string}, n: {default: 1}}, additionalProperties: false}\n",
	"actions/greet.sh":    "echo \"hello $name\"; echo warn >&2; echo \"{\\\"to\\\": \\\"$name\\\", \\\"n\\\": $n.0}\" > \"$ATTUNE_RESULT_FILE\"\n",
	"actions/stdin.yaml":  "runtime: shell\nentry_point: stdin.sh\nsecrets: [TOKEN]\noutput: json\n",
	"actions/stdin.sh":    "cat\n",
	"actions/loud.yaml":   "runtime: shell\nentry_point: loud.sh\nsecrets: [TOKEN]\nvariables: true\n",
	"actions/loud.sh":     "echo \"it is $TOKEN\"; echo '::add-mask::derived' >&2; echo derived >&2; echo \"{\\\"got\\\": \\\"$TOKEN\\\"}\" > \"$ATTUNE_RESULT_FILE\"\n",
	"actions/fail.yaml":   "runtime: shell\nentry_point: fail.sh\n",
	"actions/fail.sh":     "cat data/x.txt >&2; exit 3\n",
	"actions/slow.yaml":   "runtime: shell\nentry_point: slow.sh\n",
	"actions/slow.sh":     "exec sleep 60\n",
	"actions/wrong.yaml":  "runtime: shell\nentry_point: wrong.sh\noutput_schema: {type: object}\n",
	"actions/wrong.sh":    "echo '[1]' > \"$ATTUNE_RESULT_FILE\"\n",
	"actions/none.yaml":   "runtime: cobol\nentry_point: wrong.sh\n",
	"triggers/sold.yaml":  "payload: {type: object, required: [who], properties: {who: {type: string}}}\n",
	"rules/thank.yaml":    "trigger: sold\naction: greet\nwhen: event.payload.who != 'nobody'\nparameters: {name: '${{ event.payload.who }}', n: '${{ 1 + 1 }}'}\n",
	"rules/elsewhere.yml": "trigger: core.timer\naction: core.log\nparameters: {message: '${{ event.source }}'}\n",
	"rules/big.yaml":      "trigger: sold\naction: fail\nwhen: event.payload.sum > 100\n",
}

// run runs the cases of a text and gives the failures of each by its name.
func run(t *testing.T, cases, only string) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		put(t, dir, name, text)
	}
	put(t, dir, "tests/all.yaml", cases)
	defs, err := runtime.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	shell, _ := runtime.Define(defs, runtime.Shell)
	found := runtime.Detect(t.Context(), runtime.DetectConfig{Definitions: []runtime.Definition{shell}, Path: runtime.DefaultPath})
	set, err := runtime.NewSet(runtime.SetConfig{Definitions: defs, Found: found, Dir: t.TempDir(), Path: runtime.DefaultPath})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	c := packtest.Config{Dir: dir, Launcher: launcher(), Runtimes: set}
	if only != "" {
		c.Run = regexp.MustCompile(only)
	}
	if err := packtest.Run(t.Context(), c, func(r packtest.Result) {
		got[r.Name] = r.Failures
		if r.Line == 0 || r.File != "tests/all.yaml" || r.OK != (len(r.Failures) == 0) {
			t.Errorf("%+v", r)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	full := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsExpectedPasses(t *testing.T) {
	t.Parallel()
	got := run(t, `
cases:
  - {name: plain, action: greet, parameters: {name: Ada}, expect: {result: {n: 1, to: Ada}, stdout: {contains: [hello Ada], matches: "^hello"}, stderr: {contains: [warn]}}}
  - {name: part, action: greet, parameters: {name: Ada}, expect: {result_includes: {to: Ada}}}
  - {name: refused, action: greet, parameters: {nam: Ada}, expect: {status: refused}}
  - {name: input, action: stdin, secrets: {TOKEN: x}, expect: {result_includes: {secrets: {TOKEN: x}, config: {greeting: hello}, execution: {action: shop.stdin, attempt: 1}}}}
  - {name: config, action: stdin, secrets: {TOKEN: x}, config: {greeting: hi}, expect: {result_includes: {config: {greeting: hi}}}}
  - {name: loud, action: loud, secrets: {TOKEN: s3cret}, expect: {result: {got: "***"}, stdout: {matches: "^it is .{3}\\n$"}, stderr: {matches: "add-mask::.{3}\\n.{3}\\n$"}}}
  - {name: code, action: fail, files: {data/x.txt: from a file}, expect: {exit_code: 3, error: exit_status, stderr: {contains: [from a file]}}}
  - {name: slow, action: slow, timeout: 100ms, expect: {status: timed_out}}
  - {name: wrong, action: wrong, expect: {error: bad_result}}
  - {name: no runtime, action: none, expect: {error: spawn_failed}}
  - {name: matches, event: {trigger: sold, payload: {who: Ada, sum: 5}}, expect: {rules: {thank: {name: Ada, n: 2}}}}
  - {name: whatever, event: {trigger: shop.sold, payload: {who: Ada, sum: 101}}, expect: {rules: {thank: null, big: null}}}
  - {name: none matches, event: {trigger: sold, payload: {who: nobody, sum: 1}}}
  - {name: cannot, event: {trigger: sold, payload: {who: nobody}}, expect: {errors: [big]}}
  - {name: another pack, event: {trigger: core.timer, source: clock}, expect: {rules: {elsewhere: {message: clock}}}}
`, "")
	for name, failures := range got {
		if len(failures) > 0 {
			t.Errorf("%s: %v", name, failures)
		}
	}
	if len(got) != 15 {
		t.Error(got)
	}
}

func TestWhatIsNotExpectedFails(t *testing.T) {
	t.Parallel()
	got := run(t, `
cases:
  - {name: result, action: greet, parameters: {name: Ada}, expect: {result: {to: Bob, n: 1}}}
  - {name: part, action: greet, parameters: {name: Ada}, expect: {result_includes: {to: [1], more: x}}}
  - {name: text, action: greet, parameters: {name: Ada}, expect: {stdout: {contains: [bye], matches: ^bye}}}
  - {name: succeeds, action: greet, parameters: {name: Ada}, expect: {status: failed}}
  - {name: refused, action: greet, parameters: {name: 1}}
  - {name: undeclared, action: greet, parameters: {name: Ada}, secrets: {X: y}}
  - {name: without secret, action: stdin}
  - {name: config, action: fail, config: {x: y}}
  - {name: code, action: fail, expect: {exit_code: 4, status: failed}}
  - {name: payload, event: {trigger: sold, payload: {}}}
  - {name: trigger, event: {trigger: none}}
  - {name: matches, event: {trigger: sold, payload: {who: Ada, sum: 1}}}
  - {name: differs, event: {trigger: sold, payload: {who: Ada, sum: 1}}, expect: {rules: {thank: {name: Bob}}}}
  - {name: silent, event: {trigger: sold, payload: {who: nobody, sum: 1}}, expect: {rules: {big: null}}}
  - {name: cannot, event: {trigger: sold, payload: {who: nobody}}}
  - {name: can, event: {trigger: sold, payload: {who: nobody, sum: 1}}, expect: {errors: [big]}}
`, "")
	for name, wants := range map[string][]string{
		"result":         {"result differs:\n--- want\n+++ got\n", "\n-  \"to\": \"Bob\"\n+  \"to\": \"Ada\""},
		"part":           {"result.more: is missing, want \"x\"", "result.to: is \"Ada\", want [1]"},
		"text":           {`stdout: does not contain "bye"`, "stdout: does not match ^bye"},
		"succeeds":       {"status: succeeded, want failed"},
		"refused":        {"status: refused, want succeeded (", "name: must be text, not a number"},
		"undeclared":     {"does not declare X"},
		"without secret": {"declares TOKEN, and the case has no value"},
		"config":         {"x: is not a known property"},
		"code":           {"exit_code: 3, want 4"},
		"payload":        {"who: is required"},
		"trigger":        {`this pack has no trigger "none"`},
		"matches":        {`rule thank: matches, and was not to; with {"n":2,"name":"Ada"}`},
		"differs":        {"rule thank: parameters differ:\n", "+  \"name\": \"Ada\""},
		"silent":         {"rule big: does not match"},
		"cannot":         {"rule big: cannot decide: "},
		"can":            {"rule big: decides"},
	} {
		all := strings.Join(got[name], "\n")
		if slices.ContainsFunc(wants, func(want string) bool { return !strings.Contains(all, want) }) {
			t.Errorf("%s: got %s\nwant %q", name, all, wants)
		}
	}
}

func TestCasesAreSelectedByTheirTitle(t *testing.T) {
	t.Parallel()
	cases := "cases:\n  - {name: one, action: fail}\n  - {name: two, action: greet, parameters: {name: x}}\n"
	if got := run(t, cases, "all.yaml: tw"); len(got) != 1 || got["two"] != nil {
		t.Error(got)
	}
}

func TestMistakesInTestsHaveTheirPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range files {
		put(t, dir, name, text)
	}
	put(t, dir, "tests/a.yaml", "cases:\n  - name: x\n  - {name: y, action: no, expect: {rules: {thank: null}, stdout: {matches: '('}}}\n"+
		"  - {name: z, event: {trigger: sold}, timeout: 9h, files: {../x: ''}, expect: {result: 1, rules: {no: null}, colour: red}}\n")
	_, err := pack.LoadTests(os.DirFS(dir))
	ms, ok := errors.AsType[pack.Mistakes](err)
	if !ok {
		t.Fatal(err)
	}
	want := []string{
		"tests/a.yaml:2:5: a case has either an action or an event",
		`tests/a.yaml:3:23: action: this pack has no action "no"`,
		"tests/a.yaml:3:36: expect.rules: cannot be expected of an action",
		"tests/a.yaml:3:76: expect.stdout.matches: missing closing ): `(`",
		`tests/a.yaml:4:48: timeout: "9h" is not a duration between 1ms and 1h`,
		`tests/a.yaml:4:66: files: "../x" is not a path within the working folder`,
		"tests/a.yaml:4:88: expect.result: cannot be expected of an event",
		`tests/a.yaml:4:103: expect.rules: this pack has no rule "no"`,
		"tests/a.yaml:4:110: cases.2.expect.colour: is not a known property",
	}
	for i, m := range ms {
		if i >= len(want) || !strings.HasPrefix(m.String(), want[i]) {
			t.Errorf("%d: %s", i, m)
		}
	}
	if _, err := pack.Load(dir); err != nil {
		t.Error("a mistake in a test is one of the pack:", err)
	}
}
