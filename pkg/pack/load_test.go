package pack

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/streams"
)

// good is a pack with a file of every kind.
func good() map[string]string {
	return map[string]string{
		"pack.yaml": "name: web\nversion: 1.2.3-rc.1+b\ndescription: no\nauthor: A\nruntime: {python: '>=3.9, <4', node: 18}\n" +
			"concurrency: {limit: 7}\nconfig:\n  type: object\n  properties: {url: {type: string}}\n",
		"actions/restart.yaml": `
runtime: python
entry_point: restart.py:run
parameters:
  type: object
  required: [host, id]
  additionalProperties: false
  properties:
    host: {type: string}
    id: {type: integer, default: 9007199254740993}
    mode: {enum: [0x1F, 1e3, 0.5]}
secrets: [TOKEN]
output: json
output_schema: {type: object}
timeout: 90s
concurrency: {limit: 2, key: params.host, on_full: queue}
rate: 10/m burst 2
retry: {attempts: 5, delay: 10s, backoff: exponential, max_delay: 5m, jitter: 0.2, on: [failed, lost], order: hold}
queue_timeout: 1h
warm: 2
logs: {max_bytes: 1048576, max_total_bytes: 1048577, segment_bytes: 65536, keep: ends, truncate_on_exceed: false, retention: {age: 1d, count: 7, bytes: 1GiB}}
pool: special
`,
		"actions/shell.yml":   "name: shell\nruntime: shell\nentry_point: code/run.sh\nvariables: true\nparameters: {properties: {host: {type: string}}}\n",
		"actions/native.yaml": "runtime: native\nentry_point: code/tool\n",
		"actions/restart.py":  "def run(host, id): pass\n",
		"code/run.sh":         "echo\n",
		"code/tool*":          "#!/bin/sh\n",
		"triggers/down.yaml":  "payload: {type: object}\nwebhook: {scheme: github, secret: HOOK}\n",
		"triggers/paid.yaml":  "webhook: {scheme: stripe, secrets: [NEW, OLD]}\n",
		"triggers/daily.yaml": "timer:\n  cron: 30 2 * * *\n  timezone: Europe/Berlin\n  catch_up: all\n  payload: {n: 9007199254740993}\n",
		"triggers/once.yaml":  "timer: {at: 2030-01-01T00:00:00Z}\n",
		"triggers/often.yaml": "timer: {every: 1m30s}\n",
		"triggers/plain.yaml": "description:\n",
		"triggers/open.yaml":  "webhook: {scheme: none, allow_unauthenticated: true}\n",
		"sensors/probe.yaml":  "runtime: shell\nentry_point: code/run.sh\ntriggers: [down]\nconfig: {interval: 10}\n",
		"rules/restart.yaml": "trigger: down\nwhen: event.payload.state == \"down\"\naction: web.restart\nparameters: {host: '${{ event.payload.host }}'}\nenabled: false\n" +
			"priority: high\nonce_per: {key: 'event.payload.host + \"/\" + event.source', window: 10m}\n",
		"rules/elsewhere.yaml": "trigger: core.tick\naction: core.echo\n",
		"rules/code.py":        "not a rule",
	}
}

func with(files map[string]string) map[string]string {
	all := good()
	maps.Copy(all, files)
	for name, text := range files {
		if text == "" {
			delete(all, name)
		}
	}
	return all
}

func TestLoad(t *testing.T) {
	t.Parallel()
	files := good()
	files["pack.yaml"] = strings.Replace(files["pack.yaml"], "node: 18", `node: "18"`, 1)
	p, err := Load(write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "web" || p.Version != "1.2.3-rc.1+b" || p.Description != "no" || p.Runtime["python"] != ">=3.9, <4" || p.Concurrency.Limit != 7 {
		t.Errorf("%+v", p)
	}
	want := Action{
		Name: "restart", Runtime: "python", EntryPoint: "actions/restart.py:run",
		Secrets: []string{"TOKEN"}, Output: OutputJSON, Timeout: Duration(90 * time.Second), Pool: "special",
		Concurrency: Concurrency{Limit: 2, Key: "params.host", OnFull: OnFullQueue},
		Rate:        Rate{Count: 10, Period: time.Minute, Burst: 2},
		Retry: &Retry{
			Attempts: 5, Delay: Duration(10 * time.Second), Backoff: 2, MaxDelay: Duration(5 * time.Minute), Jitter: 0.2,
			On: []streams.Status{streams.Failed, streams.Lost}, Order: RetryHold,
		},
		QueueTimeout: Duration(time.Hour), Warm: new(2),
		Logs: Logs{
			MaxBytes: 1 << 20, MaxTotalBytes: 1<<20 + 1, SegmentBytes: 65536, Keep: KeepEnds, TruncateOnExceed: new(bool),
			Retention: Retention{Age: 24 * time.Hour, Count: 7, Bytes: 1 << 30},
		},
		OutputSchema: json.RawMessage(`{"type":"object"}`),
		Parameters: json.RawMessage(`{"additionalProperties":false,"properties":{"host":{"type":"string"},` +
			`"id":{"default":9007199254740993,"type":"integer"},"mode":{"enum":[31,1e3,0.5]}},"required":["host","id"],"type":"object"}`),
	}
	if diff := cmp.Diff(want, p.Actions[1]); diff != "" {
		t.Error(diff)
	}
	if p.Actions[0].EntryPoint != "code/tool" || p.Actions[2].Name != "shell" || !p.Actions[2].Variables {
		t.Errorf("%+v", p.Actions)
	}
	if len(p.Triggers) != 7 || strings.Join(p.Triggers[5].Webhook.SecretNames(), " ") != "NEW OLD" || string(p.Triggers[0].Timer.Payload) != `{"n":9007199254740993}` || p.Triggers[3].Timer.At.Year() != 2030 {
		t.Errorf("%+v", p.Triggers)
	}
	if time.Duration(p.Triggers[2].Timer.Every) != 0 && len(p.Sensors) != 1 {
		t.Errorf("%+v", p.Sensors)
	}
	r := p.Rules[1]
	if r.Priority != "high" || r.OncePer.Key != `event.payload.host + "/" + event.source` || r.OncePer.Window != Duration(10*time.Minute) {
		t.Errorf("%+v", r.OncePer)
	}
	if r.Name != "restart" || *r.Enabled || r.Parameters["host"] != "${{ event.payload.host }}" {
		t.Errorf("%+v", r)
	}
}

func mistakes(t testing.TB, files map[string]string) string {
	t.Helper()
	_, err := Load(write(t, files))
	var ms Mistakes
	if err != nil && !errors.As(err, &ms) {
		t.Fatalf("%T %v", err, err)
	}
	return ms.Error()
}

func TestLoadReportsEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	got := mistakes(t, map[string]string{
		"pack.yaml":         "name: Web\nversion: 1.0\nruntime: {python: latest, Ruby: '1'}\nconfg: {}\nconfig: {type: string}\n",
		"actions/a.yaml":    "runtime: Ruby\nentry_point: ../x.sh\nparameters:\n  host: {type: string}\n  properties:\n    a: {type: strng}\ntimeout: 30\nconcurrency: {limit: 0, key: parms.x}\nretries: 3\n",
		"actions/B.yaml":    "runtime: shell\nentry_point: b.sh\n",
		"triggers/t.yaml":   "timer: {cron: '0 0 30 2 *'}\nwebhook: {scheme: none}\n",
		"rules/r.yaml":      "trigger: t\naction: missing\nwhen: |\n  event.payload.x == 1 &&\n    evnt.y == 2\nparameters:\n  list:\n    - \"ok\"\n    - \"x ${{ event.paylod }}\"\n",
		"sensors/s.yaml":    "runtime: python\nentry_point: s.py:go on\ntriggers: [none]\n",
		"sensors/empty.yml": "",
	})
	want := []string{
		`actions/B.yaml: the name "B" is not allowed: it must match ^[a-z][a-z0-9_-]{0,62}$`,
		`actions/B.yaml:2:14: entry_point: there is no file "b.sh" in the pack`,
		`actions/a.yaml:1:10: runtime: must match the pattern`,
		`actions/a.yaml:2:14: entry_point: "../x.sh" must be a path within the pack`,
		`actions/a.yaml:4:3: parameters: "host" is no keyword of JSON Schema; did you mean it to be under properties?`,
		`actions/a.yaml:6:15: parameters.properties.a.type: fits none of the allowed forms`,
		`actions/a.yaml:7:10: timeout: must be text, not a number (write it in quotes)`,
		`actions/a.yaml:8:22: concurrency.limit: must be at least 1, not 0 (leave concurrency out for no limit)`,
		`actions/a.yaml:8:30: concurrency.key: undeclared reference to 'parms' (did you mean 'params'?)`,
		`actions/a.yaml:9:1: retries: is not a known property`,
		`pack.yaml:1:7: name: must match the pattern`,
		`pack.yaml:2:10: version: must be text, not a number (write it in quotes)`,
		`pack.yaml:3:19: runtime.python: "latest" is not a range of versions such as >=3.9, <4`,
		`pack.yaml:3:27: runtime.Ruby: the name of property "Ruby" is not allowed: must match the pattern`,
		`pack.yaml:4:1: confg: is not a known property`,
		`pack.yaml:5:16: config.type: must be object`,
		`rules/r.yaml:2:9: action: this pack has no action "missing"`,
		`rules/r.yaml:5:5: when: undeclared reference to 'evnt' (did you mean 'event'?)`,
		`rules/r.yaml:9:19: parameters.list.1: an event has no field "paylod"`,
		`sensors/empty.yml:1:1: empty`,
		`sensors/s.yaml:2:14: entry_point: "go on" is not the name of a function (write file.py:function)`,
		`sensors/s.yaml:2:14: entry_point: there is no file "s.py" in the pack`,
		`sensors/s.yaml:3:12: triggers: this pack has no trigger "none"`,
		`triggers/t.yaml:1:15: timer.cron: `,
		`triggers/t.yaml:2:19: webhook.scheme: none lets everybody in; say allow_unauthenticated: true if that is meant`,
	}
	lines := strings.Split(got, "\n")
	for i, w := range want {
		if i >= len(lines) || !strings.HasPrefix(lines[i], w) {
			t.Fatalf("line %d: want %s in\n%s", i, w, got)
		}
	}
	if len(lines) != len(want) {
		t.Error(got)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		files map[string]string
		want  string
	}{
		"no pack.yaml":            {map[string]string{"pack.yaml": ""}, "pack.yaml: missing: a pack needs one"},
		"no name":                 {map[string]string{"pack.yaml": "version: 1.0.0"}, "pack.yaml:1:1: name: is required"},
		"homoglyph":               {map[string]string{"actions/аction.yaml": "runtime: shell\nentry_point: code/run.sh\n"}, "is not allowed"},
		"twice":                   {map[string]string{"actions/shell.yaml": "runtime: shell\nentry_point: code/run.sh\n"}, `action "shell" is there twice`},
		"other name":              {map[string]string{"actions/native.yaml": "name: tool\nruntime: native\nentry_point: code/tool\n"}, `actions/native.yaml:1:7: must be "native", the file's name`},
		"absolute":                {map[string]string{"actions/native.yaml": "runtime: native\nentry_point: /bin/sh\n"}, `"/bin/sh" must be a path within the pack`},
		"folder":                  {map[string]string{"actions/native.yaml": "runtime: native\nentry_point: code\n"}, `"code" is a folder`},
		"not executable":          {map[string]string{"actions/native.yaml": "runtime: native\nentry_point: code/run.sh\n"}, `code/run.sh is not executable`},
		"function of a shell":     {map[string]string{"actions/native.yaml": "runtime: shell\nentry_point: code/run.sh:x\n"}, `runtime shell has no functions`},
		"function elsewhere":      {map[string]string{"actions/native.yaml": "runtime: node\nentry_point: restart.py:x\n"}, `a function of runtime node must be in a file named *.js, *.mjs, *.cjs`},
		"image that is an option": {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: code/tool\ncontainer: {image: --privileged}\n"}, `actions/native.yaml:3:20: container.image: "--privileged" is not the name of an image`},
		"image in a file":         {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: code/tool\ncontainer: {image: 'oci-archive:/etc/shadow'}\n"}, `is not the name of an image`},
		"image in a folder":       {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: code/tool\ncontainer: {image: 'dir:code'}\n"}, `is not the name of an image`},
		"image and rootfs":        {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: code/tool\ncontainer: {image: alpine, rootfs: code}\n"}, `name either an image or a rootfs`},
		"rootfs that is a file":   {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: code/tool\ncontainer: {rootfs: code/tool}\n"}, `container.rootfs: "code/tool" is not a folder of the pack`},
		"rootfs outside":          {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: code/tool\ncontainer: {rootfs: ../x}\n"}, `is not a folder of the pack`},
		"rootfs with a colon":     {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: code/tool\ncontainer: {rootfs: 'code:rw'}\n"}, `is not a plain path`},
		"container's entry point": {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: /bin/../x\ncontainer: {image: alpine}\n"}, `must be a path within the pack`},
		"container of a script":   {map[string]string{"actions/native.yaml": "runtime: container\nentry_point: code/run.sh\ncontainer: {image: alpine}\n"}, `code/run.sh is not executable`},
		"sensor in a container":   {map[string]string{"sensors/probe.yaml": "runtime: container\nentry_point: code/tool\ntriggers: [down]\n"}, `sensors/probe.yaml:1:10: runtime: a sensor cannot run in a container`},
		"total below a stream":    {map[string]string{"actions/native.yaml": "runtime: native\nentry_point: code/tool\nlogs: {max_bytes: 4096, max_total_bytes: 4095}\n"}, `actions/native.yaml:3:42: logs.max_total_bytes: must not be less than max_bytes: 4095 is less than 4096`},
		"keeps what":              {map[string]string{"actions/native.yaml": "runtime: native\nentry_point: code/tool\nlogs: {keep: tail}\n"}, `logs.keep: must be one of`},
		"variables of python":     {map[string]string{"actions/native.yaml": "runtime: python\nentry_point: restart.py\nvariables: true\n"}, `actions/native.yaml:3:12: variables: only actions of runtime shell`},
		"warm shell":              {map[string]string{"actions/native.yaml": "runtime: shell\nwarm: 2\nentry_point: code/run.sh\n"}, `actions/native.yaml:2:7: warm: a program of runtime shell cannot wait for its execution; functions of python and node can`},
		"warm function of Ruby":   {map[string]string{"actions/native.yaml": "runtime: ruby\nwarm: 2\nentry_point: code/run.rb:x\n"}, `actions/native.yaml:2:7: warm: a program of runtime ruby cannot wait`},
		"warm program":            {map[string]string{"actions/native.yaml": "runtime: python\nentry_point: restart.py\nwarm: 1\n"}, `actions/native.yaml:3:7: warm: a plain program starts its work when it is started, so it cannot wait; make it a function: entry_point: actions/restart.py:run`},
		"many that are warm":      {map[string]string{"actions/native.yaml": "runtime: python\nentry_point: restart.py:run\nwarm: 65\n"}, `actions/native.yaml:3:7: warm: must be at most 64, not 65`},
		"warm in words":           {map[string]string{"actions/native.yaml": "runtime: python\nentry_point: restart.py:run\nwarm: much\n"}, `actions/native.yaml:3:7: warm: must be a whole number, not text (write warm: 2)`},
		"variable PATH":           {map[string]string{"actions/shell.yml": "runtime: shell\nentry_point: code/run.sh\nvariables: true\nparameters: {properties: {PATH: {}}}\n"}, `"PATH" would change the shell itself`},
		"variable LD_PRELOAD":     {map[string]string{"actions/shell.yml": "runtime: shell\nentry_point: code/run.sh\nvariables: true\nsecrets: [LD_PRELOAD]\n"}, `actions/shell.yml:4:11: "LD_PRELOAD" would change the shell itself`},
		"variable with dash":      {map[string]string{"actions/shell.yml": "runtime: shell\nentry_point: code/run.sh\nvariables: true\nparameters: {properties: {a-b: {}}}\n"}, `"a-b" cannot be a variable of a shell`},
		"remote schema":           {map[string]string{"triggers/down.yaml": "payload: {$ref: 'http://127.0.0.1/x'}\n"}, `a $ref may only point into the same schema`},
		"number as text":          {map[string]string{"triggers/down.yaml": "description: 0777\n"}, `triggers/down.yaml:1:14: 0777 has more than one reading`},
		"underscores":             {map[string]string{"triggers/down.yaml": "timer: {every: 1m, payload: {a: 1_000}}\n"}, `1_000 has more than one reading`},
		"infinity":                {map[string]string{"triggers/down.yaml": "timer: {every: 1m, payload: {a: .inf}}\n"}, `.inf has more than one reading`},
		"timer of nothing":        {map[string]string{"triggers/once.yaml": "timer: {}\n"}, `triggers/once.yaml:1:`},
		"timer of two":            {map[string]string{"triggers/once.yaml": "timer: {every: 1m, cron: '* * * * *'}\n"}, `triggers/once.yaml:1:`},
		"time zone":               {map[string]string{"triggers/daily.yaml": "timer: {cron: 'TZ=../../etc/passwd * * * * *'}\n"}, `triggers/daily.yaml:1:15: timer.cron`},
		"step zero":               {map[string]string{"triggers/daily.yaml": "timer: {cron: '*/0 * * * *'}\n"}, `timer.cron`},
		"too often":               {map[string]string{"triggers/often.yaml": "timer: {every: 1ns}\n"}, `triggers/often.yaml:1:16: timer.every: must be between 1s and`},
		"negative":                {map[string]string{"triggers/often.yaml": "timer: {every: -1m}\n"}, `timer.every: must be between`},
		"hook of both":            {map[string]string{"triggers/down.yaml": "webhook: {scheme: stripe, secret: A, secrets: [A, B]}\n"}, `webhook.secrets: takes the place of secret`},
		"open hook with secrets":  {map[string]string{"triggers/down.yaml": "webhook: {scheme: none, allow_unauthenticated: true, secrets: [A]}\n"}, `webhook.secrets: scheme none has no secret`},
		"hook without secret":     {map[string]string{"triggers/down.yaml": "webhook: {scheme: hmac}\n"}, `webhook.secret: is required for scheme hmac`},
		"unknown scheme":          {map[string]string{"triggers/down.yaml": "webhook: {scheme: md5, secret: X}\n"}, `webhook.scheme: must be one of`},
		"missing argument":        {map[string]string{"rules/restart.yaml": "trigger: down\naction: restart\nparameters: {}\n"}, `rules/restart.yaml:3:1: parameters.host: is required by the action`},
		"unknown argument":        {map[string]string{"rules/restart.yaml": "trigger: down\naction: restart\nparameters: {host: a, Host: b}\n"}, `rules/restart.yaml:3:29: parameters.Host: is not known to the action (did you mean host?)`},
		"bad reference":           {map[string]string{"rules/restart.yaml": "trigger: a.b.c\naction: restart\nparameters: {host: a}\n"}, `trigger: "a.b.c" is not of the form pack.name`},
		"not boolean":             {map[string]string{"rules/restart.yaml": "trigger: down\naction: restart\nwhen: event.id\nenabled: yes\nparameters: {host: a}\n"}, "rules/restart.yaml:4:10: enabled: must be a boolean, not text"},
		"criteria in quotes":      {map[string]string{"rules/restart.yaml": "trigger: down\naction: restart\nwhen: 'true && evnt.id'\nparameters: {host: a}\n"}, "rules/restart.yaml:3:16: when: undeclared reference to 'evnt'"},
		"open expression":         {map[string]string{"rules/restart.yaml": "trigger: down\naction: restart\nparameters: {host: '${{ event.id'}\n"}, "rules/restart.yaml:3:21: parameters.host: ${{ without its closing }}"},
		"bad range":               {map[string]string{"pack.yaml": "name: web\nversion: 1.0.0\nruntime: {python: '>=3.9 or 4'}\n"}, "runtime.python"},
		"version":                 {map[string]string{"pack.yaml": "name: web\nversion: 01.0.0\n"}, `version: "01.0.0" is not a semantic version`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := with(c.files)
			if _, own := c.files["pack.yaml"]; !own {
				files["pack.yaml"] = "name: web\nversion: 1.0.0\n"
			}
			if got := mistakes(t, files); !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant %s", got, c.want)
			}
		})
	}
}

func TestHostileYAMLFailsQuicklyAndWithAPlace(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	laughs.WriteString("a: &a [x,x,x,x,x,x,x,x,x]\n")
	for c := 'b'; c < 'j'; c++ {
		laughs.WriteString(string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "]\n")
	}
	cases := map[string]struct{ text, want string }{
		"empty":             {"\n# nothing\n", "pack.yaml:1:1: empty"},
		"a list":            {"- a\n", "pack.yaml:1:1: must be a mapping"},
		"50 MB":             {strings.Repeat("a: b # x\n", 6<<20), "pack.yaml:1:1: larger than"},
		"laughs":            {laughs.String(), "pack.yaml:1:4: anchors are not allowed"},
		"alias":             {"name: a\nversion: *x\n", "pack.yaml:2:"},
		"brackets":          {strings.Repeat("[", 20000), "pack.yaml:1:"},
		"braces":            {strings.Repeat("{a: ", 20000), "pack.yaml:1:"},
		"dashes":            {strings.Repeat("- ", 20000), "pack.yaml:1:"},
		"questions":         {strings.Repeat("? ", 20000), "pack.yaml:1:"},
		"indents":           {deepIndent(500), "pack.yaml:"},
		"duplicate":         {"name: a\nversion: 1.0.0\nname: b\n", `pack.yaml:3:1: key "name" is there twice, first on line 1`},
		"custom tag":        {"name: !!python/object:os.system x\n", "pack.yaml:1:7: tags are not allowed"},
		"binary":            {"name: !!binary aGk=\n", "pack.yaml:1:7: tags are not allowed"},
		"merge":             {"<<: {name: a}\n", "pack.yaml:1:1: a key must be text"},
		"key of a list":     {"? [a]\n: b\n", "pack.yaml:1:3: a key must be text"},
		"number as key":     {"1: b\n", "pack.yaml:1:1: a key must be text"},
		"two documents":     {"name: a\n---\nname: b\n", "pack.yaml:2:1: a second document"},
		"tab":               {"name: a\n\tversion: x\n", "pack.yaml:2:"},
		"open quote":        {"name: 'a\n", "pack.yaml:1:7: not YAML"},
		"NUL":               {"name: a\nx: \x00\n", "pack.yaml:2:4: control character U+0000"},
		"NUL escaped":       {"name: \"a\\0\"\n", "pack.yaml:1:7: NUL is not allowed"},
		"Latin-1":           {"name: caf\xe9\n", "pack.yaml:1:10: not UTF-8"},
		"many keys":         {manyKeys(), "pack.yaml:1:1: is not a known property"},
		"a long bad scalar": {"name: \"" + strings.Repeat("\\", 100000), "pack.yaml:1:"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"pack.yaml": c.text})
			start := time.Now()
			_, err := Load(dir)
			took := time.Since(start)
			if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(c.want, "pack.yaml:1:1: is")) {
				t.Errorf("got %.300v, want %s", err, c.want)
			}
			if took > patience {
				t.Errorf("took %s", took)
			}
			t.Log(took)
		})
	}
}

func TestLoadBoundsItsWorkAndItsReport(t *testing.T) {
	t.Parallel()
	files := map[string]string{"pack.yaml": manyKeys()}
	got := strings.Split(mistakes(t, files), "\n")
	if len(got) != maxMistakes+1 || !strings.HasSuffix(got[maxMistakes], "more mistakes") {
		t.Errorf("%d: %s", len(got), got[len(got)-1])
	}
	for i := range 40 {
		files["rules/r"+string(rune('a'+i%26))+string(rune('a'+i/26))+".yaml"] = "trigger: a.b\naction: a.b\n#" + strings.Repeat("x", 120<<10)
	}
	files["pack.yaml"] = "name: x\nversion: 1.0.0\n"
	if got := mistakes(t, files); got != "the YAML files of the pack are larger than 4194304 bytes together" {
		t.Error(got)
	}
}

func deepIndent(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func manyKeys() string {
	var b strings.Builder
	for i := 0; b.Len() < 120<<10; i++ {
		b.WriteString("k" + strings.Repeat("x", i%5) + string(rune('a'+i%26)) + json.Number(time.Duration(i).String()).String() + ": 1\n")
	}
	return b.String()
}

func TestLoadRefusesLinks(t *testing.T) {
	t.Parallel()
	dir := write(t, with(map[string]string{"code/run.sh": ""}))
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "code/run.sh")); err != nil {
		t.Fatal(err)
	}
	_, err := Load(dir)
	if err == nil || !strings.Contains(err.Error(), "code/run.sh: symbolic link") {
		t.Error(err)
	}
}

// FuzzLoad checks that no file makes the loader panic, and that what it accepts can be written and read again.
func FuzzLoad(f *testing.F) {
	for name, text := range good() {
		if strings.HasSuffix(name, ".yaml") {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		files := fstest.MapFS{
			"pack.yaml": {Data: []byte("name: web\nversion: 1.0.0\n")}, "code/run.sh": {Data: []byte("x")},
		}
		for _, folder := range folders {
			files[folder.folder+"/down.yaml"] = &fstest.MapFile{Data: []byte(text)}
		}
		p, err := LoadFS(files)
		var ms Mistakes
		if err != nil && !errors.As(err, &ms) {
			t.Fatalf("%T %v", err, err)
		}
		for _, m := range ms {
			if m.Line > len(lineBreak.Split(text, -1)) {
				t.Errorf("%s is beyond the end of the file", m)
			}
		}
		if _, err := json.Marshal(p); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatOnlyARunnerCanTell(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"function of an operator's runtime": "runtime: lua\nentry_point: code/run.sh:main\n",
		"program of an image":               "runtime: container\nentry_point: /usr/bin/env\ncontainer: {image: registry.example/alpine:3.20}\n",
		"image by digest":                   "runtime: container\nentry_point: code/tool\ncontainer: {image: 'localhost:5000/a/b@sha256:0123abc'}\n",
		"rootfs of the operator's":          "runtime: container\nentry_point: code/tool\ncontainer: {rootfs: /srv/root, network: host}\n",
		"rootfs of the pack":                "runtime: container\nentry_point: code/tool\ncontainer: {rootfs: code}\n",
	} {
		files := with(map[string]string{"pack.yaml": "name: web\nversion: 1.0.0\n", "actions/native.yaml": text})
		if got := mistakes(t, files); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}
