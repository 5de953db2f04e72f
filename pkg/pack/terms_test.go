package pack

import (
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestTermsAreReportedWithPlaceValueAndRemedy covers what an action says of its start and its attempts.
func TestTermsAreReportedWithPlaceValueAndRemedy(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ text, want string }{
		"limit 0":          {"concurrency: {limit: 0}", `3:22: concurrency.limit: must be at least 1, not 0 (leave concurrency out for no limit)`},
		"limit negative":   {"concurrency: {limit: -3}", `3:22: concurrency.limit: must be at least 1, not -3 (leave concurrency out for no limit)`},
		"limit huge":       {"concurrency: {limit: 100001}", `3:22: concurrency.limit: must be at most 100000, not 100001 (leave concurrency out for no limit)`},
		"limit missing":    {"concurrency: {key: params.x}", `3:1: concurrency.limit: is required (leave concurrency out for no limit)`},
		"bare limit":       {"concurrency: 5", `3:14: concurrency: must be an object, not a number (write concurrency: {limit: 5}, or leave it out for no limit)`},
		"on_full":          {"concurrency: {limit: 1, on_full: drop}", `3:34: concurrency.on_full: must be one of "queue", "reject", not "drop"`},
		"rate as number":   {"rate: 10", `3:7: rate: must be text, not a number (write rate: 10/m)`},
		"rate in words":    {"rate: 10 per minute", `3:7: rate "10 per minute": want COUNT/PERIOD, such as 10/m, 1/30s or 500/h`},
		"rate 0":           {"rate: 0/m", `3:7: rate "0/m": count is not from 1 to 1000000: want COUNT/PERIOD`},
		"rate of months":   {"rate: 5/31d", `3:7: rate "5/31d": period is not from 1ms to 30d: want COUNT/PERIOD`},
		"bare retry":       {"retry: 3", `3:8: retry: must be an object, not a number (write retry: {attempts: 3, delay: 10s})`},
		"no attempts":      {"retry: {delay: 1s}", `3:1: retry.attempts: is required (it counts the first attempt too`},
		"one attempt":      {"retry: {attempts: 1}", `3:19: retry.attempts: must be at least 2, not 1 (it counts the first attempt too; leave retry out for one attempt)`},
		"101 attempts":     {"retry: {attempts: 101}", `3:19: retry.attempts: must be at most 100, not 101`},
		"2.5 attempts":     {"retry: {attempts: 2.5}", `3:19: retry.attempts: must be a whole number, not a number`},
		"negative delay":   {"retry: {attempts: 2, delay: -1s}", `3:29: retry.delay: must be between 0s and 720h0m0s, not "-1s"`},
		"long delay":       {"retry: {attempts: 2, delay: 721h}", `3:29: retry.delay: must be between 0s and 720h0m0s, not "721h"`},
		"delay of what":    {"retry: {attempts: 2, delay: soon}", `3:29: retry.delay: "soon" is not a duration such as 90s, 5m or 1h30m`},
		"max_delay 0":      {"retry: {attempts: 2, delay: 1s, max_delay: 0s}", `3:44: retry.max_delay: must be between 1ms and 720h0m0s, not "0s"`},
		"max below delay":  {"retry: {attempts: 2, delay: 1m, max_delay: 10s}", `3:44: retry.max_delay: must not be less than delay: 10s is less than 1m0s`},
		"backoff 0.5":      {"retry: {attempts: 2, delay: 1s, backoff: 0.5}", `3:42: retry.backoff: must be a number from 1 on, constant (1) or exponential (2), not 0.5`},
		"backoff a word":   {"retry: {attempts: 2, delay: 1s, backoff: linear}", `3:42: retry.backoff: must be a number from 1 on, constant (1) or exponential (2), not "linear"`},
		"backoff 1e400":    {"retry: {attempts: 2, delay: 1s, backoff: 1e400}", `retry.backoff`},
		"backoff a list":   {"retry: {attempts: 2, delay: 1s, backoff: [2]}", `retry.backoff: must be a number or text, not a list`},
		"backoff of none":  {"retry: {attempts: 2, backoff: 2}", `3:31: retry.backoff: changes nothing without a delay; add one, such as delay: 10s`},
		"jitter 2":         {"retry: {attempts: 2, delay: 1s, jitter: 2}", `3:41: retry.jitter: must be at most 1, not 2 (it is the part of the delay that is random, such as 0.2)`},
		"jitter negative":  {"retry: {attempts: 2, delay: 1s, jitter: -0.1}", `3:41: retry.jitter: must be at least 0, not -0.1`},
		"on succeeded":     {"retry: {attempts: 2, on: [failed, succeeded]}", `3:35: retry.on.1: must be one of "failed", "timed_out", "lost", not "succeeded" (leave on out for failed and timed_out)`},
		"on nothing":       {"retry: {attempts: 2, on: []}", `retry.on: must have at least 1 items (leave on out for failed and timed_out)`},
		"on canceled":      {"retry: {attempts: 2, on: [canceled]}", `not "canceled"`},
		"order":            {"concurrency: {limit: 1}\nretry: {attempts: 2, order: keep}", `4:29: retry.order: must be one of "yield", "hold", not "keep"`},
		"hold of nothing":  {"retry: {attempts: 2, order: hold}", `3:29: retry.order: hold is pointless without a limit: there is no slot to keep and nobody waits behind it; add concurrency: {limit: 1}, or leave order out`},
		"memory a number":  {"resources: {memory: 512}", `3:21: resources.memory: must be text, not a number (write memory: 512m)`},
		"memory in bytes":  {"resources: {memory: 512mb}", `resources.memory`},
		"no processes":     {"resources: {pids: 0}", `3:19: resources.pids: must be at least 1, not 0`},
		"half a process":   {"resources: {pids: 1.5}", `3:19: resources.pids: must be a whole number`},
		"no processor":     {"resources: {cpu: 0}", `3:18: resources.cpu: must be at least 1/100, not 0`},
		"bare resources":   {"resources: 512m", `resources: must be an object, not text (write resources: {memory: 512m, pids: 100, cpu: 0.5})`},
		"other resources":  {"resources: {disk: 1g}", `resources.disk: is not a known property`},
		"queue_timeout 0":  {"queue_timeout: 0s", `3:16: queue_timeout: must be between 1ms and 720h0m0s, not "0s"`},
		"timeout of queue": {"queue_timeout: 5", `3:16: queue_timeout: must be text, not a number (write it in quotes)`},
		"unknown in retry": {"retry: {attempts: 2, count: 3}", `3:22: retry.count: is not a known property`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFile(t, "actions/shell.yaml", "runtime: shell\nentry_point: code/run.sh\n"+c.text+"\n", c.want)
		})
	}
}

func TestTermsOfPacksAndRulesAreReportedWithPlaceValueAndRemedy(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ file, text, want string }{
		"pack's limit 0":      {"pack.yaml", "name: web\nversion: 1.0.0\nconcurrency: {limit: 0}", `pack.yaml:3:22: concurrency.limit: must be at least 1, not 0 (leave concurrency out for no limit)`},
		"pack's key":          {"pack.yaml", "name: web\nversion: 1.0.0\nconcurrency: {limit: 1, key: params.x}", `pack.yaml:3:25: concurrency.key: is not a known property`},
		"pack's empty":        {"pack.yaml", "name: web\nversion: 1.0.0\nconcurrency: {}", `concurrency.limit: is required`},
		"priority":            {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\npriority: urgent", `rules/elsewhere.yaml:3:11: priority: must be one of "high", "normal", "low", not "urgent"`},
		"priority a number":   {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\npriority: 1", `rules/elsewhere.yaml:3:11: priority: must be one of "high", "normal", "low", not 1`},
		"no window":           {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per: {key: event.id}", `rules/elsewhere.yaml:3:1: once_per.window: is required (write window: 10m)`},
		"bare window":         {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per: 10m", `rules/elsewhere.yaml:3:11: once_per: must be an object, not text (write once_per: {key: event.payload.host, window: 10m})`},
		"window too short":    {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per: {window: 10ms}", `rules/elsewhere.yaml:3:20: once_per.window: must be between 1s and 720h0m0s, not "10ms"`},
		"take neither":        {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per: {window: 10m, take: any}", `rules/elsewhere.yaml:3:31: once_per.take: must be one of "first", "last", not "any"`},
		"window too long":     {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per: {window: 800h}", `must be between 1s and 720h0m0s, not "800h"`},
		"window a number":     {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per: {window: 10}", `once_per.window: must be text, not a number (write window: 10m)`},
		"key of parameters":   {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per: {key: params.x, window: 10m}", `rules/elsewhere.yaml:3:17: once_per.key: undeclared reference to 'params'`},
		"key that is no CEL":  {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per:\n  window: 10m\n  key: event.payload. + 1", `rules/elsewhere.yaml:5:`},
		"key without a field": {"rules/elsewhere.yaml", "trigger: core.tick\naction: core.echo\nonce_per: {key: event.paylod.x, window: 10m}", `an event has no field "paylod"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFile(t, c.file, c.text+"\n", c.want)
		})
	}
}

// checkFile loads a good pack with one other file in it, whose mistake is the only one.
func checkFile(t *testing.T, file, text, want string) {
	t.Helper()
	files := good()
	files["pack.yaml"] = "name: web\nversion: 1.0.0\n"
	delete(files, strings.TrimSuffix(file, ".yaml")+".yml")
	maps.Copy(files, map[string]string{file: text})
	got := mistakes(t, files)
	if !strings.Contains(got, want) || strings.Contains(got, "\n") {
		t.Errorf("got\n%s\nwant %s", got, want)
	}
}

// Each of these is allowed though it looks like a case above.
func TestTermsThatAreAllowed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"rate: 1/30s per action", "retry: {attempts: 100}", "retry: {attempts: 2, delay: 0s}", "retry: {attempts: 2, on: [lost]}",
		"retry: {attempts: 2, delay: 1s, backoff: constant}", "retry: {attempts: 2, delay: 1s, backoff: 1.5, max_delay: 1s, jitter: 1}",
		"concurrency: {limit: 1}\nretry: {attempts: 2, order: hold}", "retry: {attempts: 2, order: yield}", "queue_timeout: 720h",
	} {
		files := with(map[string]string{"actions/shell.yml": "runtime: shell\nentry_point: code/run.sh\n" + text + "\n"})
		files["pack.yaml"] = "name: web\nversion: 1.0.0\n"
		if _, err := Load(write(t, files)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAWindowIsNamedInFewWords(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]OncePer{
		"once per 10m":              {Window: Duration(10 * time.Minute)},
		"once per 1h":               {Window: Duration(time.Hour)},
		"once per 1h30m":            {Window: Duration(90 * time.Minute)},
		"once per 720h":             {Window: Duration(720 * time.Hour)},
		"once per 1m30s":            {Window: Duration(90 * time.Second)},
		"once per 10s for \"a\\n\"": {Window: Duration(10 * time.Second), Key: "event.id"},
	} {
		if got := o.For("a\n"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for want, o := range map[string]OncePer{
		"10m for each event.id":      {Key: "event.id", Window: Duration(10 * time.Minute)},
		"2h for all events together": {Window: Duration(2 * time.Hour)},
	} {
		if got := o.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for _, key := range []string{strings.Repeat("x", 10_000), strings.Repeat("\x00", 10_000), strings.Repeat("ß", 10_000)} {
		got := (OncePer{Key: "event.id"}).For(key)
		if len(got) > 130 || !strings.HasSuffix(got, `..."`) || !utf8.ValidString(got) {
			t.Errorf("a long key is named in %d bytes: %s", len(got), got)
		}
	}
}
