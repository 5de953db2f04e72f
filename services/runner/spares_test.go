package runner_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

// The functions below do the same in two languages: they say what they see of their execution.
const (
	sparePython = `
import os, sys
loaded = os.environ["ATTUNE_EXECUTION_ID"]
print("loading", flush=True)
def run(host=None, secrets=None, config=None, execution=None):
    left = sorted(os.listdir("."))
    print("running", host, flush=True)
    print("to stderr", file=sys.stderr, flush=True)
    env = os.environ
    here = os.getcwd() == env["HOME"] == env["TMPDIR"] == os.path.dirname(env["ATTUNE_RESULT_FILE"])
    return {"pid": os.getpid(), "warm": loaded != execution["id"], "loaded": loaded, "id": env["ATTUNE_EXECUTION_ID"], "attempt": env["ATTUNE_ATTEMPT"],
            "action": env["ATTUNE_ACTION"], "here": here, "cwd": os.getcwd(), "left": left, "host": host, "secrets": secrets, "config": config,
            "names": " ".join(sorted(env)), "uid": os.getuid(), "ns": os.readlink("/proc/self/ns/pid")}
`
	spareNode = `
import { readdirSync, readlinkSync } from "node:fs";
import { dirname } from "node:path";
const env = process.env, loaded = env.ATTUNE_EXECUTION_ID;
console.log("loading");
export function run({ host }, { secrets, config, execution }) {
  const left = readdirSync(".").sort();
  console.log("running", host);
  console.error("to stderr");
  const here = [env.HOME, env.TMPDIR, dirname(env.ATTUNE_RESULT_FILE)].every((dir) => dir === process.cwd());
  return { pid: process.pid, warm: loaded !== execution.id, loaded, id: env.ATTUNE_EXECUTION_ID, attempt: env.ATTUNE_ATTEMPT,
    action: env.ATTUNE_ACTION, here, cwd: process.cwd(), left, host, secrets, config,
    names: Object.keys(env).sort().join(" "), uid: process.getuid(), ns: readlinkSync("/proc/self/ns/pid") };
}
`
)

// saw is what they say.
type saw struct {
	PID                                  int
	Warm, Here                           bool
	Loaded, ID, Attempt, Action, CWD, NS string
	Names                                string
	Left                                 []string
	Host                                 string
	Secrets                              map[string]string
	Config                               map[string]any
	UID                                  int
}

// functions is a pack of functions: py and js, with so many waiting, and more YAML.
func functions(warm string) map[string]string {
	return map[string]string{
		"py.yaml": "runtime: python\nentry_point: py.py:run\n" + warm, "py.py": sparePython,
		"js.yaml": "runtime: node\nentry_point: js.mjs:run\n" + warm, "js.mjs": spareNode,
	}
}

// warmed is a runner with metrics.
type warmed struct {
	started
	t        *testing.T
	registry *prometheus.Registry
}

func (d *desk) startWarm(t *testing.T, change func(*runner.Config)) warmed {
	t.Helper()
	w := warmed{t: t, registry: prometheus.NewRegistry()}
	w.started = d.start(func(c *runner.Config) {
		c.Registerer = w.registry
		if change != nil {
			change(c)
		}
	})
	return w
}

// metric reads one with a label.
func (w warmed) metric(name, label string) int {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return int(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			}
		}
	}
	w.t.Fatalf("no %s of %s", name, label)
	return 0
}

// waits returns when so many wait, and no more are about to.
func (w warmed) waits(n int) {
	w.t.Helper()
	eventually(w.t, patience, strconv.Itoa(n)+" wait", func() bool {
		return w.metric("attune_runner_spares", "ready") == n && w.metric("attune_runner_spares", "starting") == 0
	})
}

// sparesOf lists the processes that call functions for the runner of a folder.
func sparesOf(dir string) (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		line, err := os.ReadFile(name) //nolint:gosec // of the kernel
		if err == nil && strings.Contains(string(line), filepath.Join(dir, "wrappers")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name))) // the pattern has digits only
			pids = append(pids, pid)
		}
	}
	return pids
}

// see runs an action and gives what it saw.
func (d *desk) see(action, parameters string) (id string, s saw) {
	d.t.Helper()
	id = d.request(action, parameters)
	f := d.ended(id)
	if f.Status != streams.Succeeded {
		d.t.Fatalf("%s: %+v %s", action, f.Error, d.log(id, logs.Stderr))
	}
	if err := json.Unmarshal(f.Result, &s); err != nil {
		d.t.Fatalf("%s: %v in %s", action, err, f.Result)
	}
	return id, s
}

func TestASpareIsForItsExecutionWhatAnyProcessIs(t *testing.T) {
	t.Parallel()
	files := functions("warm: 1\nsecrets: [KEY]\n")
	for name, text := range functions("warm: 0\nsecrets: [KEY]\n") {
		files["cold_"+name] = strings.NewReplacer("py.py", "cold_py.py", "js.mjs", "cold_js.mjs").Replace(text)
	}
	d := newDesk(t, files)
	d.put(streams.BucketConfigs, "p", map[string]any{"url": "u"})
	r := d.startWarm(t, func(c *runner.Config) { c.Secrets = keys{"KEY": "s3cret"} })
	d.ask(1)
	seen := map[string]bool{}
	for _, name := range []string{"py", "js"} {
		_, cold := d.see("cold_"+name, `{"host": "web"}`)
		if cold.Warm || cold.Loaded != cold.ID {
			t.Errorf("%s: %+v", name, cold)
		}
		for range 3 {
			r.waits(2)
			id, s := d.see(name, `{"host": "web"}`)
			if !s.Warm || s.ID != id || s.Attempt != "1" || s.Action != "p."+name || s.Loaded != filepath.Base(s.CWD) || len(s.Left) != 0 || !s.Here {
				t.Errorf("%s: %+v", name, s)
			}
			if out := d.log(id, logs.Stdout); out != "loading\nrunning web\n" {
				t.Errorf("%s: %q", name, out)
			}
			if out := d.log(id, logs.Stderr); out != "to stderr\n" {
				t.Errorf("%s: %q", name, out)
			}
			same := cold // but for what tells executions apart
			same.PID, same.ID, same.Loaded, same.Action, same.CWD, same.Warm, same.UID, same.NS = s.PID, s.ID, s.Loaded, s.Action, s.CWD, s.Warm, s.UID, s.NS
			if diff := cmp.Diff(same, s); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			one := fmt.Sprint(s.PID, s.UID) // as root each has a user of its own, and a room in which numbers begin anew
			if seen[one] || os.Geteuid() == 0 && s.UID == 0 {
				t.Errorf("%s: a process of before: %+v", name, s)
			}
			seen[one] = true
		}
	}
	if warm, cold := r.metric("attune_runner_starts_total", "warm"), r.metric("attune_runner_starts_total", "cold"); warm != 6 || cold != 2 {
		t.Errorf("%d warm starts and %d cold ones", warm, cold)
	}
}

func TestSparesAreReadyBeforeTheFirstExecutionAndGoneAfterTheLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := functions("warm: 2\n")
	action(files, "other", "runtime: python\nwarm: 2\nruns_on: {labels: {zone: eu}}\n", "py.py:run", "")
	delete(files, "py.py:run")
	d := newDesk(t, files)
	r := d.startWarm(t, in(dir))
	d.ask(1)
	r.waits(4) // none for what this runner does not run
	eventually(t, patience, "the entry counts them", func() bool { return d.info(r.Name()).Spares == 4 })
	if n := len(sparesOf(dir)); n != 4 {
		t.Errorf("%d processes", n)
	}
	for _, name := range []string{"py", "js"} {
		if _, s := d.see(name, `{}`); !s.Warm {
			t.Errorf("%s: the first: %+v", name, s)
		}
	}
	r.waits(4)
	r.stop()
	if left := sparesOf(dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "work", "*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestAKilledRunnerLeavesNoSpare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, functions("warm: 2\n"))
	_, kill := d.startProcess(dir)
	d.ask(1)
	eventually(t, patience, "they wait", func() bool { return len(sparesOf(dir)) == 4 })
	kill()
	eventually(t, patience, "they are gone", func() bool { return len(sparesOf(dir)) == 0 })
}

func TestAChangedConfigurationHasOtherSpares(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, functions("warm: 1\n"))
	d.put(streams.BucketConfigs, "p", map[string]any{"url": "one"})
	r := d.startWarm(t, in(dir))
	d.ask(1)
	for _, url := range []string{"two", "three"} {
		r.waits(2)
		before := sparesOf(dir)
		d.put(streams.BucketConfigs, "p", map[string]any{"url": url})
		eventually(t, patience, "those of before have gone", func() bool {
			return !slices.ContainsFunc(sparesOf(dir), func(pid int) bool { return slices.Contains(before, pid) })
		})
		r.waits(2)
		for _, name := range []string{"py", "js"} {
			if _, s := d.see(name, `{}`); !s.Warm || s.Config["url"] != url {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
}

func TestAnotherVersionOfAPackHasOtherSpares(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, functions("warm: 1\n"))
	r := d.startWarm(t, in(dir))
	d.ask(1)
	r.waits(2)
	old, before := d.digest, sparesOf(dir)
	files := functions("warm: 2\n")
	files["py.py"] += "\nfirst = run\ndef run(host=None, secrets=None, config=None, execution=None):\n    return {**first(host, secrets, config, execution), 'host': 'second'}\n"
	d.digest = d.install(files)
	d.ask(1)
	r.waits(4)
	if slices.ContainsFunc(sparesOf(dir), func(pid int) bool { return slices.Contains(before, pid) }) {
		t.Error("some of the version before are left")
	}
	if _, s := d.see("py", `{}`); !s.Warm || s.Host != "second" {
		t.Errorf("%+v", s)
	}
	second := d.digest
	d.digest = old // a rollback
	if _, s := d.see("py", `{"host": "first"}`); s.Warm || s.Host != "first" {
		t.Errorf("%+v", s)
	}
	r.waits(2)
	if _, s := d.see("py", `{"host": "first"}`); !s.Warm || s.Host != "first" {
		t.Errorf("%+v", s)
	}
	for _, digest := range []string{old, second} {
		if err := d.bucket(streams.BucketInstalls).Delete(t.Context(), digest); err != nil {
			t.Fatal(err)
		}
	}
	r.waits(0)
	eventually(t, patience, "none is left", func() bool { return len(sparesOf(dir)) == 0 })
}

// What happens to a spare is not the execution's fault.
func TestAnExecutionDoesNotSufferFromItsSpare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, functions("warm: 1\n"))
	r := d.startWarm(t, in(dir))
	d.ask(1)
	for range 2 {
		r.waits(2)
		for _, pid := range sparesOf(dir) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"py", "js"} {
			d.see(name, `{}`)
		}
	}
	for _, name := range []string{"py", "js"} {
		r.waits(2)
		pids, given := sparesOf(dir), r.metric("attune_runner_starts_total", "warm")
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		id := d.request(name, `{"host": "h"}`)
		eventually(t, patience, "it has its input", func() bool { return r.metric("attune_runner_starts_total", "warm") > given })
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if f := d.ended(id); f.Status != streams.Succeeded {
			t.Errorf("%s: %+v", name, f.Error)
		}
		if out := d.log(id, logs.Stdout); !strings.HasSuffix(out, "loading\nrunning h\n") {
			t.Errorf("%s: %q", name, out)
		}
	}
}

func TestWhatFailsToLoadFailsInItsExecution(t *testing.T) {
	t.Parallel()
	loads := filepath.Join(folder(t), "loads")
	write(t, loads, "", 0o600)
	if err := os.Chmod(loads, 0o666); err != nil { //nolint:gosec // actions are other users
		t.Fatal(err)
	}
	count := "import os\nopen(" + strconv.Quote(loads) + ", 'a').write('x')\n"
	files := map[string]string{
		"bad.yaml": "runtime: python\nwarm: 1\nentry_point: bad.py:run\n", "bad.py": count + "import no_such_module\n",
		"only.yaml": "runtime: python\nwarm: 1\nentry_point: only.py:run\n",
		"only.py":   count + "if os.environ['ATTUNE_ATTEMPT'] == '0': os._exit(3)\ndef run(): return 1\n",
	}
	d := newDesk(t, files)
	d.startWarm(t, nil)
	d.ask(1)
	for range 3 {
		id := d.request("bad", `{}`)
		if f := d.ended(id); f.Error == nil || f.Error.Class != streams.ClassExitStatus || !strings.Contains(d.log(id, logs.Stderr), "no_such_module") {
			t.Errorf("%+v", f)
		}
		if f := d.ended(d.request("only", `{}`)); f.Status != streams.Succeeded {
			t.Errorf("%+v", f.Error)
		}
	}
	text, err := os.ReadFile(loads) //nolint:gosec // of this test
	if err != nil || len(text) > 6+10 {
		t.Errorf("they were loaded %d times, %v", len(text), err)
	}
}

func TestWhatIsWrittenBeforeAnExecutionIsItsFirstOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, map[string]string{
		"much.yaml": "runtime: python\nwarm: 1\nentry_point: much.py:run\n",
		"much.py":   "import sys\nprint('x' * 200000, flush=True)\nprint('y' * 200000, file=sys.stderr, flush=True)\ndef run(): print('end')\n",
	})
	r := d.startWarm(t, in(dir))
	d.ask(1)
	for n := range 2 {
		eventually(t, patience, "it writes", func() bool { return len(sparesOf(dir)) == 1 })
		id := d.request("much", `{}`)
		if f := d.ended(id); f.Status != streams.Succeeded || r.metric("attune_runner_starts_total", "warm") != n+1 {
			t.Errorf("%+v", f)
		}
		if out, errs := d.log(id, logs.Stdout), d.log(id, logs.Stderr); out != strings.Repeat("x", 200000)+"\nend\n" || errs != strings.Repeat("y", 200000)+"\n" {
			t.Errorf("%d and %d bytes", len(out), len(errs))
		}
	}
}

func TestASpareEndsAsAnyProcess(t *testing.T) {
	t.Parallel()
	text := "import os, time\ndef run(how):\n    print('at it', flush=True)\n    if how == 'exit': os._exit(7)\n    if how == 'nan': return {1}\n    time.sleep(1000)\n"
	d := newDesk(t, map[string]string{"end.yaml": "runtime: python\nwarm: 1\nentry_point: end.py:run\ntimeout: 2s\n", "end.py": text, "end2.yaml": "runtime: python\nwarm: 1\nentry_point: end.py:run\n"})
	r := d.startWarm(t, nil)
	d.ask(1)
	for how, class := range map[string]string{"exit": streams.ClassExitStatus, "nan": streams.ClassBadResult, "sleep": streams.ClassTimeout} {
		r.waits(2)
		if f := d.ended(d.request("end", `{"how": "`+how+`"}`)); f.Error == nil || f.Error.Class != class {
			t.Errorf("%s: %+v", how, f.Error)
		}
	}
	r.waits(2)
	id := d.request("end2", `{"how": "sleep"}`)
	d.running(id)
	d.cancel(id)
	if f := d.ended(id); f.Status != streams.Canceled {
		t.Errorf("%+v", f)
	}
	if warm, cold := r.metric("attune_runner_starts_total", "warm"), r.metric("attune_runner_starts_total", "cold"); warm != 4 || cold != 0 {
		t.Errorf("%d warm starts and %d cold ones", warm, cold)
	}
}

func TestWhatIsStartedOftenIsWarmByItself(t *testing.T) {
	t.Parallel()
	files := functions("")
	files["never.yaml"], files["plain.yaml"], files["plain.py"] = "runtime: python\nwarm: 0\nentry_point: py.py:run\n", "runtime: python\nentry_point: plain.py\n", ""
	d := newDesk(t, files)
	r := d.startWarm(t, func(c *runner.Config) { c.WarmMemory = 1 << 30 })
	for _, name := range []string{"never", "py", "js", "plain"} {
		for range 3 {
			if f := d.ended(d.request(name, `{}`)); f.Status != streams.Succeeded {
				t.Errorf("%s: %+v", name, f.Error)
			}
		}
	}
	r.waits(2)
	for name, want := range map[string]bool{"never": false, "py": true, "js": true} {
		if _, s := d.see(name, `{}`); s.Warm != want {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
