package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

func TestAnExecutionFromClaimToEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{
		"whole": `cat; echo; pwd; ls -A | wc -l; echo oops >&2; printf '{"a": 9007199254740993, "b": "x\\u0000y\\ud800z"}' >"$ATTUNE_RESULT_FILE"`,
	}))
	r := d.start(nil)
	id := d.request("whole", `{"host": "<web1>", "n": 12345678901234567890}`)
	f := d.ended(id)
	if f.Status != streams.Succeeded || f.Runner != r.Name() || f.Attempt != 1 || *f.ExitCode != 0 || f.Error != nil || f.Parameters != nil {
		t.Errorf("fact %+v", f)
	}
	if f.StartedAt == nil || f.EndedAt == nil || f.EndedAt.Before(*f.StartedAt) || f.Rule != "p.r" || f.Event != "e1" {
		t.Errorf("fact is not whole: %+v", f)
	}
	if diff := cmp.Diff(`{"a":9007199254740993,"b":"x`+"\ufffdy\ufffd"+`z"}`, string(f.Result)); diff != "" {
		t.Error(diff)
	}
	out := strings.Split(d.log(id, logs.Stdout), "\n")
	want := fmt.Sprintf(`{"execution":{"id":%q,"action":"p.whole","attempt":1,"pack":"p","rule":"p.r","event":"e1","requested_at":%q},`, id, f.RequestedAt.Format("2006-01-02T15:04:05.999999Z07:00"))
	if !strings.HasPrefix(out[0], want) || !strings.Contains(out[0], `"n":12345678901234567890`) || !strings.HasSuffix(out[0], `"secrets":{},"config":{}}`) {
		t.Errorf("input %s, want %s", out[0], want)
	}
	if out[2] != "0" {
		t.Errorf("%s things in the working folder", out[2])
	}
	r.stop()
	if _, err := os.Stat(out[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("working folder %s is still there: %v", out[1], err)
	}
	if got := d.log(id, logs.Stderr); got != "oops\n" {
		t.Errorf("stderr %q", got)
	}
	if f.Output.StderrBytes != 5 || f.Output.Truncated || f.Output.Held {
		t.Errorf("output %+v", f.Output)
	}
	eventually(t, patience, "dispatch is acknowledged", func() bool { return d.queued() == 0 })
}

func TestEveryExecutionFindsItsFolderEmpty(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{
		"look":   `ls -A | wc -l; stat -c %a .; pwd`,
		"litter": `mkdir -p a/b; touch x .hidden; ln -s /etc y; chmod 755 .; echo '{}' >"$ATTUNE_RESULT_FILE"`,
		"chmod":  `chmod 777 .`,
		"gone":   `touch x; rm -rf "$PWD" || exit 0`, // the folder is its own, but not that it is there
		"result": `echo '{}' >"$ATTUNE_RESULT_FILE"`,
	}))
	d.start(func(c *runner.Config) { c.Slots = 1 })
	places := map[string]bool{}
	for _, before := range []string{"look", "result", "litter", "chmod", "gone", "look"} {
		if f := d.ended(d.request(before, `{}`)); f.Status != streams.Succeeded {
			t.Errorf("%s: %+v", before, f.Error)
		}
		id := d.request("look", `{}`)
		if f := d.ended(id); f.Result != nil {
			t.Errorf("after %s: result %s", before, f.Result)
		}
		out := strings.Split(d.log(id, logs.Stdout), "\n")
		if out[0] != "0" || out[1] != "700" {
			t.Errorf("after %s: %q", before, out)
		}
		places[out[2]] = true
	}
	if len(places) != 3 { // the first, and one after each that spoiled its own
		t.Errorf("%d folders were made: %v", len(places), places)
	}
}

// log reads what is stored of an execution's output.
func (d *desk) log(id, stream string) string {
	d.t.Helper()
	store, err := logs.Open(d.t.Context(), logs.Config{Bus: d.bus})
	if err != nil {
		d.t.Fatal(err)
	}
	var text strings.Builder
	for chunk, err := range store.Read(d.t.Context(), logs.Request{Execution: id, Stream: stream}) {
		if err != nil {
			d.t.Fatal(err)
		}
		text.Write(chunk.Data)
	}
	return text.String()
}

func TestHowExecutionsEnd(t *testing.T) {
	t.Parallel()
	files := scripts(map[string]string{
		"ok": "exit 0", "three": "exit 3", "term": "kill -TERM $$; sleep 10", "segv": "ulimit -c 0; kill -SEGV $$; sleep 10",
		"notjson": `echo nonsense >"$ATTUNE_RESULT_FILE"`, "nan": `echo '{"x": NaN}' >"$ATTUNE_RESULT_FILE"`, "empty": `: >"$ATTUNE_RESULT_FILE"`,
		"large": `{ printf '"'; head -c 2000000 /dev/zero | tr '\0' x; printf '"'; } >"$ATTUNE_RESULT_FILE"`,
		"link":  `ln -s /etc/passwd "$ATTUNE_RESULT_FILE"`, "fifo": `mkfifo "$ATTUNE_RESULT_FILE"`, "folder": `mkdir "$ATTUNE_RESULT_FILE"`,
		"failed_result": `echo '{"why": 1}' >"$ATTUNE_RESULT_FILE"; exit 4`, "failed_badly": `echo '{' >"$ATTUNE_RESULT_FILE"; exit 5`,
		"shut": `exec >&- 2>&-; exit 0`, "locked": `mkdir a; touch a/b; chmod 0 a`,
	})
	action(files, "slow", "runtime: shell\ntimeout: 200ms\n", "slow.sh", "#!/bin/sh\nsleep 100")
	action(files, "json", "runtime: shell\noutput: json\n", "json.sh", "#!/bin/sh\necho '[1, 2]'")
	action(files, "nojson", "runtime: shell\noutput: json\n", "nojson.sh", "#!/bin/sh\nexit 0")
	action(files, "huge", "runtime: shell\noutput: json\n", "huge.sh", "#!/bin/sh\nhead -c 2000000 /dev/zero")
	action(files, "fits", "runtime: shell\noutput_schema: {type: object, required: [id]}\n", "fits.sh", "#!/bin/sh\necho '{\"id\": 1}' >$ATTUNE_RESULT_FILE")
	action(files, "unfit", "runtime: shell\noutput_schema: {type: object, required: [id]}\n", "unfit.sh", "#!/bin/sh\necho '{\"ix\": 1}' >$ATTUNE_RESULT_FILE")
	action(files, "crlf", "runtime: shell\n", "crlf.sh", "#!/bin/sh\r\necho x\r\n")
	action(files, "noformat", "runtime: native\n", "noformat", "#! \n")
	action(files, "interp", "runtime: native\n", "interp", "#!/no/such/thing\n")
	action(files, "hidden", "runtime: shell\nsecrets: [KEY]\n", "hidden.sh", "#!/bin/sh\n")
	action(files, "badname", "runtime: shell\nvariables: true\n", "badname.sh", "#!/bin/sh\n")
	d := newDesk(t, files)
	d.start(nil)
	tests := []struct {
		action         string
		status         streams.Status
		class, message string
		exit           int // -1: never started
		result         string
	}{
		{"ok", streams.Succeeded, "", "", 0, ""},
		{"three", streams.Failed, streams.ClassExitStatus, "exit status 3", 3, ""},
		{"term", streams.Failed, streams.ClassSignal, "SIGTERM", 143, ""},
		{"segv", streams.Failed, streams.ClassSignal, "SIGSEGV", 139, ""},
		{"slow", streams.TimedOut, streams.ClassTimeout, "200ms", 143, ""},
		{"notjson", streams.Failed, streams.ClassBadResult, "not acceptable JSON", 0, ""},
		{"nan", streams.Failed, streams.ClassBadResult, "not acceptable JSON", 0, ""},
		{"empty", streams.Succeeded, "", "", 0, ""},
		{"large", streams.Failed, streams.ClassBadResult, "larger than 1048576 bytes", 0, ""},
		{"link", streams.Failed, streams.ClassBadResult, "not a plain file", 0, ""},
		{"fifo", streams.Failed, streams.ClassBadResult, "not a plain file", 0, ""},
		{"folder", streams.Failed, streams.ClassBadResult, "not a plain file", 0, ""},
		{"failed_result", streams.Failed, streams.ClassExitStatus, "exit status 4", 4, `{"why":1}`},
		{"failed_badly", streams.Failed, streams.ClassExitStatus, "exit status 5", 5, ""},
		{"shut", streams.Succeeded, "", "", 0, ""},
		{"locked", streams.Succeeded, "", "", 0, ""},
		{"json", streams.Succeeded, "", "", 0, `[1,2]`},
		{"nojson", streams.Failed, streams.ClassBadResult, "wrote nothing", 0, ""},
		{"huge", streams.Failed, streams.ClassBadResult, "larger than", 0, ""},
		{"fits", streams.Succeeded, "", "", 0, `{"id":1}`},
		{"unfit", streams.Failed, streams.ClassBadResult, "output_schema", 0, ""},
		{"crlf", streams.Failed, streams.ClassSpawnFailed, "carriage return", -1, ""},
		{"noformat", streams.Failed, streams.ClassSpawnFailed, "", -1, ""},
		{"interp", streams.Failed, streams.ClassSpawnFailed, "/no/such/thing", -1, ""},
		{"missing", streams.Failed, streams.ClassPackUnavailable, "no such action", -1, ""},
		{"hidden", streams.Failed, streams.ClassSecretsUnavailable, "no access to secrets", -1, ""},
		{"badname", streams.Failed, streams.ClassSpawnFailed, "PATH", -1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.action, func(t *testing.T) {
			t.Parallel()
			f := d.ended(d.request(tt.action, `{"PATH": "/x"}`))
			exit := -1
			if f.ExitCode != nil {
				exit = *f.ExitCode
			}
			class, message := "", ""
			if f.Error != nil {
				class, message = f.Error.Class, f.Error.Message
			}
			if f.Status != tt.status || class != tt.class || !strings.Contains(message, tt.message) || exit != tt.exit || string(f.Result) != tt.result {
				t.Errorf("%s %s %q exit %d result %.100s", f.Status, class, message, exit, f.Result)
			}
		})
	}
}

// keys is a source of secrets.
type keys map[string]string

func (keys) PublicKey() string { return "XKEY" }

func (k keys) Fetch(_ context.Context, _ string, _ int, wanted func() secret.Wanted) (secret.Given, error) {
	w, g := wanted(), secret.Given{Declared: map[marker.Ref]string{}, Parameters: map[marker.Ref]string{}, Config: map[marker.Ref]string{}}
	for _, n := range w.Declared {
		g.Declared[marker.Ref(n)] = k[n]
	}
	for _, ref := range w.Parameters {
		g.Parameters[ref] = k[string(ref)]
	}
	for _, ref := range w.Config {
		g.Config[ref] = k[string(ref)]
	}
	for _, n := range slices.Concat(w.Declared, slices.Collect(stringsOf(w.Parameters)), slices.Collect(stringsOf(w.Config))) {
		if _, ok := k[n]; !ok {
			return secret.Given{}, fmt.Errorf("secret %s: not there", n)
		}
	}
	return g, nil
}

func stringsOf(refs []marker.Ref) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, r := range refs {
			if !yield(string(r)) {
				return
			}
		}
	}
}

func TestNoValueIsVisibleFromOutside(t *testing.T) {
	t.Parallel()
	// The action looks at itself and at its children as ps would.
	look := `"$PY" -c 'pass' 2>/dev/null; cat /proc/$$/environ /proc/$$/cmdline | tr '\0' '\n' | grep -c -e s3cret -e pa-ra-meter; sh -c 'cat /proc/$$/environ /proc/$$/cmdline' | tr '\0' '\n' | grep -c -e s3cret -e pa-ra-meter; env | cut -d= -f1 | sort | xargs; ls`
	files := map[string]string{}
	yaml := "secrets: [KEY]\nruntime: shell\n"
	action(files, "plain", yaml, "plain.sh", "#!/bin/sh\n"+look+"\nsed s/s3cret/given/")
	action(files, "vars", yaml+"variables: true\n", "vars.sh", "#!/bin/sh\n"+look+"\necho $KEY $para | sed s/s3cret/given/")
	d := newDesk(t, files)
	d.start(func(c *runner.Config) { c.Secrets = keys{"KEY": "s3cret"} })
	for _, name := range []string{"plain", "vars"} {
		id := d.request(name, `{"para": "pa-ra-meter"}`)
		if f := d.ended(id); f.Status != streams.Succeeded {
			t.Errorf("%s: %+v", name, f.Error)
		}
		out := d.log(id, logs.Stdout)
		want := "0\n0\nATTUNE_ACTION ATTUNE_ATTEMPT ATTUNE_EXECUTION_ID ATTUNE_RESULT_FILE HOME LANG PATH PWD TMPDIR\n"
		if !strings.HasPrefix(out, want) || !strings.Contains(out[len(want):], "given") || !strings.Contains(out[len(want):], "pa-ra-meter") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestALineOfHundredMegabytes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{"long": "head -c 104857600 /dev/zero; echo done >&2"}))
	d.start(nil)
	id := d.request("long", `{}`)
	f := d.ended(id)
	if f.Status != streams.Succeeded || f.Output.StdoutBytes != 100<<20 || !f.Output.Truncated || d.log(id, logs.Stderr) != "done\n" {
		t.Errorf("%+v %+v", f, f.Output)
	}
}

func TestFunctionsAndPrograms(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	action(files, "py", "runtime: python\n", "py.py:run", "")
	files["py.py"] = "def run(a, config=None):\n    print('hello')\n    return {'sum': a + 1}\n"
	action(files, "js", "runtime: node\n", "js.mjs:run", "")
	files["js.mjs"] = "export function run({ a }) { return { sum: a + 1 }; }\n"
	action(files, "pynan", "runtime: python\n", "py2.py:run", "")
	files["py2.py"] = "def run(**_):\n    return {1, 2}\n"
	action(files, "bin", "runtime: native\n", "bin", "#!/bin/sh\necho '{\"sum\": 8}' >$ATTUNE_RESULT_FILE\n")
	delete(files, "py.py:run")
	delete(files, "js.mjs:run")
	delete(files, "py2.py:run")
	d := newDesk(t, files)
	d.start(nil)
	for _, name := range []string{"py", "js", "bin"} {
		if f := d.ended(d.request(name, `{"a": 7}`)); string(f.Result) != `{"sum":8}` {
			t.Errorf("%s: %s %+v", name, f.Result, f.Error)
		}
	}
	if f := d.ended(d.request("pynan", `{}`)); f.Error == nil || f.Error.Class != streams.ClassBadResult || !strings.Contains(f.Error.Message, "not JSON serializable") {
		t.Errorf("%+v", f.Error)
	}
}

func TestNoMoreAtOnceThanSlots(t *testing.T) {
	t.Parallel()
	d := newDesk(t, scripts(map[string]string{"wait": "while [ ! -e " + folder(t) + "/go ]; do sleep 0.01; done"}))
	d.start(func(c *runner.Config) { c.Slots = 2 })
	var ids []string
	for range 5 {
		ids = append(ids, d.request("wait", `{}`))
	}
	d.running(ids[0])
	d.running(ids[1])
	for _, id := range ids[:2] {
		d.cancel(id)
		if f := d.ended(id); f.Status != streams.Canceled {
			t.Errorf("%+v", f)
		}
	}
	d.running(ids[2])
	d.running(ids[3])
	d.mu.Lock()
	if n := len(d.seen[ids[4]]); n != 1 {
		t.Errorf("the fifth has %d facts while two slots are taken", n)
	}
	d.mu.Unlock()
	for _, id := range ids[2:] {
		d.cancel(id)
		d.ended(id)
	}
}

func (d *desk) cancel(id string) {
	d.t.Helper()
	st, err := d.facts.Find(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.facts.Cancel(d.t.Context(), st.Action, id, "me"); err != nil {
		d.t.Fatal(err)
	}
}
