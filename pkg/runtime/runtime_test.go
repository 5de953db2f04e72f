package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
)

var launcher = sync.OnceValue(func() *process.Launcher {
	l, err := process.NewLauncher(process.Config{Seed: fmt.Sprint("runtime ", os.Getpid())})
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

var definitions = sync.OnceValue(func() []runtime.Definition {
	defs, err := runtime.Definitions()
	if err != nil {
		panic(err)
	}
	return defs
})

// passedOver is why what is here does not work. It is complete when detected has answered.
var passedOver = map[string][]error{}

// detected is what this machine has, version managers included.
var detected = sync.OnceValue(func() []runtime.Found {
	home, err := os.UserHomeDir()
	if err != nil {
		panic(err)
	}
	return runtime.Detect(context.Background(), runtime.DetectConfig{
		Definitions: definitions(), Path: os.Getenv("PATH") + ":" + runtime.DefaultPath, Home: home,
		PassedOver: func(name string, err error) { passedOver[name] = append(passedOver[name], err) },
	})
})

// of gives those of a runtime.
func of(name string, found []runtime.Found) (some []runtime.Found) {
	for _, f := range found {
		if f.Name == name {
			some = append(some, f)
		}
	}
	return some
}

// packOf makes a pack with those files.
func packOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func set(t *testing.T, found []runtime.Found) *runtime.Set {
	t.Helper()
	s, err := runtime.NewSet(runtime.SetConfig{Definitions: definitions(), Found: found, Dir: t.TempDir(), Path: runtime.DefaultPath})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// outcome is what a program left.
type outcome struct {
	process.Result
	stdout, stderr, result string
}

// executions counts those of all tests.
var executions atomic.Int32

// call runs an action of a pack as a runner would.
func call(t *testing.T, s *runtime.Set, dir string, a pack.Action, given string) outcome {
	t.Helper()
	return callAt(t, s, runtime.Location{Pack: dir}, a, given)
}

func callAt(t *testing.T, s *runtime.Set, at runtime.Location, a pack.Action, given string) outcome {
	t.Helper()
	c, err := s.Command(at, a)
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	id := runtime.Identity{Execution: fmt.Sprintf("id%d-%d", os.Getpid(), executions.Add(1)), Action: "p." + a.Name, Attempt: 2, ResultFile: filepath.Join(work, "result.json"), WorkDir: work}
	var stdout, stderr bytes.Buffer
	p := s.Program(c, id)
	spec := process.Spec{
		Path: p.Path, Args: p.Args, Dir: work, Env: p.Env, Stdin: []byte(given),
		Stdout: &stdout, Stderr: &stderr, Timeout: time.Minute,
	}
	if c.Variables {
		var in struct{ Parameters, Secrets map[string]json.RawMessage }
		if err := json.Unmarshal([]byte(given), &in); err != nil {
			t.Fatal(err)
		}
		variables, err := runtime.Variables(in.Parameters, in.Secrets)
		if err != nil {
			t.Fatal(err)
		}
		spec.Extra = [][]byte{variables}
	}
	res, err := launcher().Run(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	result, err := os.ReadFile(id.ResultFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return outcome{Result: res, stdout: stdout.String(), stderr: stderr.String(), result: string(result)}
}

func given(parameters string) string {
	return `{"execution": {"id": "id1"}, "parameters": ` + parameters + `, "secrets": {"KEY": "s3cret"}, "config": {"url": "u"}}`
}

func TestPlainProgramsGetTheirInputAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := packOf(t, map[string]string{
		"actions/a.sh": "#!/bin/sh\ncat\necho; env | cut -d= -f1 | sort | xargs\n",
		"b.py":         "import os, sys\nprint(sys.stdin.read())\nprint(*sorted(os.environ))\n",
		"c.js":         "process.stdout.write(require('fs').readFileSync(0)); console.log('\\n' + Object.keys(process.env).sort().join(' '))\n",
	})
	s := set(t, detected())
	env := "ATTUNE_ACTION ATTUNE_ATTEMPT ATTUNE_EXECUTION_ID ATTUNE_RESULT_FILE HOME LANG PATH"
	for name, a := range map[string]pack.Action{
		"shell":  {Runtime: runtime.Shell, EntryPoint: "actions/a.sh"},
		"python": {Runtime: runtime.Python, EntryPoint: "b.py"},
		"node":   {Runtime: runtime.Node, EntryPoint: "c.js"},
	} {
		out := call(t, s, dir, a, given(`{"x": 1}`))
		got := strings.Replace(out.stdout, "PATH PWD", "PATH", 1) // a shell sets it
		if diff := cmp.Diff(given(`{"x": 1}`)+"\n"+env+" TMPDIR\n", got); diff != "" {
			t.Errorf("%s: %s%s", name, diff, out.stderr)
		}
	}
}

func TestNativeProgramsRunAsTheyStand(t *testing.T) {
	t.Parallel()
	dir := packOf(t, map[string]string{"run": "#!/bin/sh\necho here\n"})
	if err := os.Chmod(filepath.Join(dir, "run"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if out := call(t, set(t, of(runtime.Native, detected())), dir, pack.Action{Runtime: runtime.Native, EntryPoint: "run"}, "{}"); out.stdout != "here\n" {
		t.Errorf("%+v", out)
	}
}

func TestAShellScriptChoosesItsShell(t *testing.T) {
	t.Parallel()
	which := "\nif [ -n \"$BASH_VERSION\" ]; then echo bash $-; else echo sh $-; fi\n"
	dir := packOf(t, map[string]string{
		"none.sh": which, "sh.sh": "#!/bin/sh" + which, "bash.sh": "#!/usr/bin/env bash" + which, "eu.sh": "#!/bin/bash -eu" + which,
		"crlf.sh": "#!/bin/sh\r\necho x\r\n", "gone.sh": "#!/no/such/bash\n", "other.sh": "#!/usr/bin/python3\n",
	})
	s := set(t, detected())
	for name, want := range map[string]string{"none.sh": "bash", "sh.sh": "sh", "bash.sh": "bash", "eu.sh": "bash ehuB"} {
		if out := call(t, s, dir, pack.Action{Runtime: runtime.Shell, EntryPoint: name}, "{}"); !strings.HasPrefix(out.stdout, want) {
			t.Errorf("%s: %q, want %q %s", name, out.stdout, want, out.stderr)
		}
	}
	for _, name := range []string{"crlf.sh", "gone.sh", "other.sh"} {
		_, err := s.Command(runtime.Location{Pack: dir}, pack.Action{Runtime: runtime.Shell, EntryPoint: name})
		var spawn *process.SpawnError
		if !errors.As(err, &spawn) || spawn.Class != process.BadInterpreter {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShellVariablesAreDataAndStayInside(t *testing.T) {
	t.Parallel()
	hostile := "a'b\"c $(id) `id`\n-rf \\ * ${HOME} \t'; exit 9; '"
	parameters, err := json.Marshal(map[string]any{
		"text": hostile, "number": json.Number("12345678901234567890"), "yes": true, "none": nil, "list": []int{1, 2}, "long": strings.Repeat("x", 200_000),
	})
	if err != nil {
		t.Fatal(err)
	}
	script := `printf '%s|' "$text" "$number" "$yes" "$none" "$list" "${#long}" "$KEY" "${0##*/}"; env | grep -c -e s3cret -e text=; cat; exit 3`
	dir := packOf(t, map[string]string{"sh.sh": "#!/bin/sh\n" + script, "bash.sh": "#!/bin/bash -a\n" + script})
	for _, name := range []string{"sh.sh", "bash.sh"} {
		out := call(t, set(t, detected()), dir, pack.Action{Runtime: runtime.Shell, EntryPoint: name, Variables: true}, given(string(parameters)))
		want := hostile + "|12345678901234567890|true||[1,2]|200000|s3cret|" + name + "|0\n" + given(string(parameters))
		if diff := cmp.Diff(want, out.stdout); diff != "" || out.ExitCode != 3 {
			t.Errorf("%s: exit %d %s %s", name, out.ExitCode, diff, out.stderr)
		}
	}
}

func TestNamesThatAreNoVariables(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"PATH", "HOME", "LD_PRELOAD", "BASH_ENV", "BASH", "IFS", "ATTUNE_ACTION", "UID", "a-b", "1a", "", "a b", "x;id"} {
		if _, err := runtime.Variables(map[string]json.RawMessage{name: []byte(`1`)}); !errors.Is(err, runtime.ErrVariable) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := runtime.Variables(map[string]json.RawMessage{"a": []byte(`"x\u0000y"`)}); !errors.Is(err, runtime.ErrVariable) {
		t.Errorf("NUL: %v", err)
	}
	for _, name := range []string{"path", "host", "API_KEY", "_x", "A1", "PATHS"} {
		if err := runtime.CheckVariable(name); err != nil {
			t.Error(err)
		}
	}
}

const nodeActions = `
export async function run({ host }, { secrets, config, execution }) {
  console.log("log", process.argv.length);
  return { host, secret: secrets.KEY, url: config.url, id: execution.id };
}
export function nothing() {}
export function nan() { return { deep: [0 / 0] }; }
export function big() { return 10n; }
export function fail() { throw new Error("no good"); }
export function leave() { process.exit(7); }
export const value = 3;
`

func TestNodeFunctions(t *testing.T) {
	t.Parallel()
	dir := packOf(t, map[string]string{
		"esm.mjs":    nodeActions,
		"cjs.js":     "module.exports = { run: (p) => p, other: 1 }; console.log(require('./part').name)",
		"part.js":    "exports.name = 'part'",
		"single.cjs": "exports.run = async (p) => [p.host]",
	})
	tests := []struct {
		entry, result string
		exit          int
		stderr        string
	}{
		{"esm.mjs:run", `{"host":"ü","secret":"s3cret","url":"u","id":"id1"}`, 0, ""},
		{"esm.mjs:nothing", ``, 0, ""},
		{"esm.mjs:nan", `!"0" is NaN`, 0, ""},
		{"esm.mjs:big", `!Do not know how to serialize a BigInt`, 0, ""},
		{"esm.mjs:fail", ``, 1, "no good"},
		{"esm.mjs:leave", ``, 7, ""},
		{"esm.mjs:value", ``, 1, "exports no function value"},
		{"cjs.js:run", `{"host":"ü"}`, 0, ""},
		{"single.cjs:run", `["ü"]`, 0, ""},
		{"cjs.js:other", ``, 1, "cjs.js exports no function other"},
	}
	s := set(t, detected())
	for _, tt := range tests {
		out := call(t, s, dir, pack.Action{Runtime: runtime.Node, EntryPoint: tt.entry}, given(`{"host": "ü"}`))
		if out.ExitCode != tt.exit || !strings.HasPrefix(out.result, tt.result) || (tt.result == "") != (out.result == "") || !strings.Contains(out.stderr, tt.stderr) {
			t.Errorf("%s: exit %d, result %q, stderr %q", tt.entry, out.ExitCode, out.result, out.stderr)
		}
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	t.Parallel()
	dir := packOf(t, map[string]string{"a.sh": "", "a.bin": "", "dir/x": ""})
	s := set(t, detected())
	tests := []struct {
		runtime, entry string
		want           error
	}{
		{"cobol", "a.sh", runtime.ErrNoRuntime},
		{"shell", "b.sh", runtime.ErrEntryPoint},
		{"shell", "../a.sh", runtime.ErrEntryPoint},
		{"shell", "/bin/sh", runtime.ErrEntryPoint},
		{"shell", "dir", runtime.ErrEntryPoint},
		{"shell", "a.sh:run", runtime.ErrEntryPoint},
		{"native", "a.bin:run", runtime.ErrEntryPoint},
	}
	for _, tt := range tests {
		if _, err := s.Command(runtime.Location{Pack: dir}, pack.Action{Name: "x", Runtime: tt.runtime, EntryPoint: tt.entry}); !errors.Is(err, tt.want) {
			t.Errorf("%s %s: %v, want %v", tt.runtime, tt.entry, err, tt.want)
		}
	}
	if _, err := set(t, nil).Command(runtime.Location{Pack: dir}, pack.Action{Name: "x", Runtime: "shell", EntryPoint: "a.sh"}); !errors.Is(err, runtime.ErrNoRuntime) {
		t.Errorf("no shell here: %v", err)
	}
}

func TestWrappersAreWrittenOnceAndMended(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, "*/*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	var first []string
	for range 2 {
		if _, err := runtime.NewSet(runtime.SetConfig{Definitions: definitions(), Dir: dir, Path: runtime.DefaultPath}); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = files()
			for _, f := range first {
				if err := os.WriteFile(f, []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if diff := cmp.Diff(first, files()); diff != "" || len(first) != 3 {
		t.Error(first, diff)
	}
	for _, f := range files() {
		if text, err := os.ReadFile(f); err != nil || len(text) < 100 {
			t.Errorf("%s was not mended: %v", f, err)
		}
	}
}
