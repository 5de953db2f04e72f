package runtime_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
)

// startSpare starts a process that waits for an execution of an action, in a folder of its own.
func startSpare(t *testing.T, s *runtime.Set, dir string, a pack.Action) (p *process.Spare, work string) {
	t.Helper()
	c, err := s.Command(runtime.Location{Pack: dir}, a)
	if err != nil {
		t.Fatal(err)
	}
	work = t.TempDir()
	program := s.SpareProgram(c, "p."+a.Name, work, filepath.Join(work, "result.json"))
	p, err = launcher().Start(process.Spec{Path: program.Path, Args: program.Args, Env: program.Env, Dir: work})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Discard)
	return p, work
}

// callSpare is call with a process that waited before.
func callSpare(t *testing.T, s *runtime.Set, dir string, a pack.Action) (out outcome, work string) {
	t.Helper()
	p, work := startSpare(t, s, dir, a)
	select {
	case <-p.Ready():
	case <-time.After(time.Minute):
		t.Fatal("it never waits")
	}
	var stdout, stderr bytes.Buffer
	res, err := p.Run(t.Context(), process.Work{Stdin: []byte(spareGiven), Stdout: &stdout, Stderr: &stderr, Timeout: time.Minute})
	if err != nil {
		t.Fatalf("%v, stderr %s", err, stderr.String())
	}
	result, err := os.ReadFile(filepath.Join(work, "result.json")) //nolint:gosec // of this test
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return outcome{Result: res, stdout: stdout.String(), stderr: stderr.String(), result: string(result)}, work
}

const sparePython = `
import os, subprocess, sys
def look(): return " ".join([os.environ["ATTUNE_EXECUTION_ID"], os.environ["ATTUNE_ATTEMPT"], os.environ["ATTUNE_ACTION"]])
print("loaded", look(), len(sys.argv), repr(sys.stdin.read()), repr(subprocess.check_output(["cat"]).decode()), flush=True)
def run(host, secrets, config, execution):
    child = subprocess.check_output(["sh", "-c", "cat; echo $ATTUNE_EXECUTION_ID"]).decode().strip()
    print("run", look(), child, os.getcwd() == os.environ["HOME"] == os.environ["TMPDIR"])
    return {"host": host, "secret": secrets["KEY"], "url": config["url"], "id": execution["id"]}
async def later(host): return host
def leave(host): sys.exit(7)
`

const spareNode = `
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
const look = () => [process.env.ATTUNE_EXECUTION_ID, process.env.ATTUNE_ATTEMPT, process.env.ATTUNE_ACTION].join(" ");
const cat = execFileSync("cat", { stdio: ["inherit", "pipe", "inherit"] }).toString();
console.log("loaded", look(), process.argv.length - 1, "'" + readFileSync(0) + "'", "'" + cat + "'");
export async function run({ host }, { secrets, config, execution }) {
  const child = execFileSync("sh", ["-c", "cat; echo $ATTUNE_EXECUTION_ID"], { stdio: ["inherit", "pipe", "inherit"] }).toString().trim();
  console.log("run", look(), child, process.cwd() === process.env.HOME && process.env.HOME === process.env.TMPDIR ? "True" : "False");
  return { host, secret: secrets.KEY, url: config.url, id: execution.id };
}
export async function later({ host }) { return host; }
export function leave() { process.exit(7); }
`

func spareActions(t *testing.T) (dir string, entries map[string]string) {
	t.Helper()
	return packOf(t, map[string]string{
		"act.py": sparePython, "act.mjs": spareNode, "cjs.js": "exports.run = ({ host }) => host", "bad.py": "import no_such_module", "bad.mjs": "throw new Error('no good')",
	}), map[string]string{runtime.Python: "act.py", runtime.Node: "act.mjs"}
}

const spareGiven = `{"execution": {"id": "id1", "attempt": 3}, "parameters": {"host": "ü"}, "secrets": {"KEY": "s3cret"}, "config": {"url": "u"}}`

func TestASpareIsLikeAnyOtherProcess(t *testing.T) {
	t.Parallel()
	dir, entries := spareActions(t)
	s := set(t, detected())
	for name, file := range entries {
		a := pack.Action{Name: "act", Runtime: name, EntryPoint: file + ":run"}
		out, work := callSpare(t, s, dir, a)
		want := "loaded " + filepath.Base(work) + " 0 p.act 1 '' ''\nrun id1 3 p.act id1 True\n"
		if diff := cmp.Diff(want, out.stdout); diff != "" || out.ExitCode != 0 || out.stderr != "" {
			t.Errorf("%s: exit %d, %s%s", name, out.ExitCode, diff, out.stderr)
		}
		result := strings.ReplaceAll(out.result, " ", "")
		if name == runtime.Python {
			result = strings.ReplaceAll(result, `\u00fc`, "ü")
		}
		if result != `{"host":"ü","secret":"s3cret","url":"u","id":"id1"}` {
			t.Errorf("%s: result %s", name, out.result)
		}
		a.EntryPoint = file + ":later"
		if out, _ := callSpare(t, s, dir, a); out.ExitCode != 0 || out.result == "" {
			t.Errorf("%s: a function that is awaited: %+v", name, out)
		}
		a.EntryPoint = file + ":leave"
		if out, _ := callSpare(t, s, dir, a); out.ExitCode != 7 || out.result != "" {
			t.Errorf("%s: a function that exits: %+v", name, out)
		}
	}
	if out, _ := callSpare(t, s, dir, pack.Action{Runtime: runtime.Node, EntryPoint: "cjs.js:run"}); out.result != `"ü"` {
		t.Errorf("a CommonJS module: %+v", out)
	}
}

func TestASpareThatCannotLoadEndsAndIsUnused(t *testing.T) {
	t.Parallel()
	dir, _ := spareActions(t)
	s := set(t, detected())
	for _, a := range []pack.Action{
		{Runtime: runtime.Python, EntryPoint: "bad.py:run"},
		{Runtime: runtime.Python, EntryPoint: "act.py:missing"},
		{Runtime: runtime.Node, EntryPoint: "bad.mjs:run"},
		{Runtime: runtime.Node, EntryPoint: "act.mjs:missing"},
	} {
		p, _ := startSpare(t, s, dir, a)
		select {
		case <-p.Gone():
		case <-time.After(time.Minute):
			t.Fatalf("%s: it goes on", a.EntryPoint)
		}
		if _, err := p.Run(t.Context(), process.Work{Stdin: []byte(spareGiven)}); !errors.Is(err, process.ErrUnused) {
			t.Errorf("%s: %v", a.EntryPoint, err)
		}
	}
}

func TestOnlyFunctionsHaveSpares(t *testing.T) {
	t.Parallel()
	dir := packOf(t, map[string]string{"a.py": "", "a.sh": "", "a.mjs": ""})
	s := set(t, detected())
	for entry, a := range map[string]pack.Action{
		"a.py": {Runtime: runtime.Python}, "a.sh": {Runtime: runtime.Shell}, "a.mjs": {Runtime: runtime.Node},
	} {
		a.EntryPoint = entry
		c, err := s.Command(runtime.Location{Pack: dir}, a)
		if err != nil || c.Spare != nil {
			t.Errorf("%s: %v, %v", entry, c.Spare, err)
		}
	}
}
