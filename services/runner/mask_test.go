package runner_test

import (
	"strings"
	"testing"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

const (
	canary  = `c4n4ry/"ü" of+40=`
	pin     = "90210377"
	derived = "s3ss10n-0f-th3-m0m3nt"
)

// loud declares two secrets and does with them what it must not.
func loud(files map[string]string, name, yaml, body string) {
	action(files, name, yaml+"runtime: python\nsecrets: [KEY, PIN]\n", name+".py", `
import base64, json, os, sys
given = json.load(sys.stdin)
key, pin = given["secrets"]["KEY"], given["secrets"]["PIN"]
def result(text):
    with open(os.environ["ATTUNE_RESULT_FILE"], "w") as f:
        f.write(text)
`+body)
}

func TestNoOutputShowsASecret(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	loud(files, "prints", "", `
for c in key:
    sys.stdout.write(c)
    sys.stdout.flush()
print("", base64.b64encode(b"me:" + key.encode()).decode(), key.encode().hex(), json.dumps(key), pin)
print(given, file=sys.stderr)
result(json.dumps({"out": ["(" + key + ")", int(pin)], key: 1, "n": 12345678901234567890}))
`)
	loud(files, "fails", "", `sys.exit(key)`)
	loud(files, "crashes", "", `print(key, flush=True); os.abort()`)
	loud(files, "captured", "output: json\n", `print(json.dumps({"a": key}))`)
	loud(files, "rubbish", "output: json\n", `print(key)`)
	loud(files, "complains", "", `result("!" + "x" * 190 + key)`)
	loud(files, "unfit", "output_schema: {type: object, properties: {n: {maxLength: 4}}, additionalProperties: false}\n", `result(json.dumps({"n": "12345", key: 1}))`)
	loud(files, "short", "output_schema: {type: object, properties: {n: {minLength: 8}}}\n", `result(json.dumps({"n": pin}))`)
	loud(files, "exact", "output_schema: {type: object, properties: {n: {maxLength: 5}}}\n", `result(json.dumps({"n": pin}))`)
	d := newDesk(t, files)
	d.start(func(c *runner.Config) { c.Secrets = keys{"KEY": canary, "PIN": pin} })
	masked := map[string]string{
		"prints": `{"***":1,"n":12345678901234567890,"out":["(***)","***"]}`, "captured": `{"a":"***"}`, "short": `{"n":"***"}`,
	}
	said := map[string]string{
		"rubbish": "not acceptable JSON", "complains": "the function returned what is not JSON: xxx", "unfit": "***: is not a known", "exact": "cannot be shown",
		"fails": "exit status 1", "crashes": "ended by signal",
	}
	ids := map[string]string{}
	for name := range files {
		if name, ok := strings.CutSuffix(name, ".yaml"); ok {
			ids[name] = d.request(name, `{}`)
		}
	}
	for name, id := range ids {
		f := d.ended(id)
		out, err := d.log(id, logs.Stdout), d.log(id, logs.Stderr)
		message := ""
		if f.Error != nil {
			message = f.Error.Message
		}
		if string(f.Result) != masked[name] || !strings.Contains(message, said[name]) || (message != "") != (said[name] != "") {
			t.Errorf("%s: %s, result %s, error %q", name, f.Status, f.Result, message)
		}
		for _, text := range []string{out, err, string(f.Result), message} {
			for _, part := range []string{"c4n4ry", "9021", "of+40", "YzRuNHJ5", "63346e", "63346E"} {
				if strings.Contains(text, part) {
					t.Errorf("%s shows %q: %s", name, part, text)
				}
			}
		}
		t.Logf("%s: %s %q %q %s %q", name, f.Status, out, err, f.Result, message)
	}
	if out := d.log(ids["prints"], logs.Stdout); out != "*** bWU6*** *** \"***\" ***\n" {
		t.Errorf("%q", out)
	}
}

func TestAProgramMayHaveFurtherValuesMasked(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	action(files, "adds", "runtime: shell\n", "adds.sh", `#!/bin/sh
echo "before `+derived+`"
echo "::add-mask::`+derived+`"
echo "after `+derived+`"
echo "{\"session\": \"`+derived+`\"}" > "$ATTUNE_RESULT_FILE"
`)
	action(files, "captured", "runtime: shell\noutput: json\n", "captured.sh", `#!/bin/sh
echo "::add-mask::`+derived+`"
echo "{\"session\": \"`+derived+`\"}"
`)
	action(files, "aside", "runtime: shell\n", "aside.sh", `#!/bin/sh
echo "::add-mask::`+derived+`" >&2
echo "{\"session\": \"`+derived+`\"}" > "$ATTUNE_RESULT_FILE"
`)
	d := newDesk(t, files)
	d.start(nil)
	for name, want := range map[string][2]string{
		"adds":     {"before " + derived + "\n::add-mask::***\nafter ***\n", ""},
		"captured": {"::add-mask::***\n{\"session\": \"***\"}\n", ""},
		"aside":    {"", "::add-mask::***\n"},
	} {
		id := d.request(name, `{}`)
		f := d.ended(id)
		out, err := d.log(id, logs.Stdout), d.log(id, logs.Stderr)
		if f.Status != streams.Succeeded || out != want[0] || err != want[1] || string(f.Result) != `{"session":"***"}` {
			t.Errorf("%s: %s %+v\n%q\n%q\n%s", name, f.Status, f.Error, out, err, f.Result)
		}
	}
}
