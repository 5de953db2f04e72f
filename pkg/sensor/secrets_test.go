package sensor_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/pkg/sensor"
	"github.com/attune/attune/streams"
)

// canary is a secret's value, which must be nowhere but in the sensor.
const canary = "s3cr3t-canary-0b71"

func TestASensorGetsItsSecretsAndNobodyElseSeesThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := w.serveSecrets(t)
	w.install(t, demo(`input=$(cat)
case "$input" in *`+canary+`*) has=yes;; *) has=no;; esac
case "$input" in *OTHER*) other=yes;; *) other=no;; esac
echo "{\"trigger\":\"note\",\"payload\":[\"$has\",\"$other\"]}"
exec sleep 1000
`, map[string]string{
		"sensors/watch.yaml": "description: For tests.\nruntime: shell\nentry_point: watch.sh\ntriggers: [note]\nsecrets: [TOKEN]\noptional_secrets: [OTHER]\n",
	}))
	client, err := secret.NewClient(w.bus.Conn)
	if err != nil {
		t.Fatal(err)
	}
	events := w.events(t)
	w.host(t, "a", w.bus, func(c *sensor.Config) { c.Secrets, c.DB = client, w.db })
	st := w.await(t, watch, "failed", func(st streams.SensorState) bool { return st.Status == streams.SensorFailed })
	if !strings.Contains(st.Error, "TOKEN") {
		t.Errorf("state %+v", st)
	}
	for _, step := range []struct{ name, value, want string }{
		{"TOKEN", "another", `["no","no"]`}, {"TOKEN", canary, `["yes","no"]`}, {"OTHER", "x", `["yes","yes"]`},
	} {
		set(step.name, step.value)
		if e := next(t, events); string(e.Payload) != step.want {
			t.Errorf("after %s was set: %s, want %s", step.name, e.Payload, step.want)
		}
	}
	st = w.await(t, watch, "running", running("a"))
	if text := fmt.Sprintf("%+v %s", st, w.log(t, st.Log)); strings.Contains(text, canary) {
		t.Errorf("the value is in the open: %s", text)
	}
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", st.PID, file))
		if err != nil || strings.Contains(string(text), canary) {
			t.Errorf("%s of the sensor: %q, %v", file, text, err)
		}
	}
}

// serveSecrets answers for secrets, as the api service does, and gives what sets one.
func (w *world) serveSecrets(t *testing.T) (set func(name, value string)) {
	t.Helper()
	store, err := secret.Open(t.Context(), w.db, t.TempDir()+"/keys/key")
	if err != nil {
		t.Fatal(err)
	}
	packs := secret.NewPacks(w.bus.JS, definitions.New(w.db), t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- secret.Serve(ctx, secret.ServeConfig{Bus: w.bus, Values: store, Declarations: packs, Logger: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func(name, value string) {
		t.Helper()
		if _, err := store.Put(t.Context(), secret.Global, name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatASensorWritesHoldsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := w.serveSecrets(t)
	set("TOKEN", canary)
	w.install(t, demo(`token=$(sed 's/.*"TOKEN":"\([^"]*\)".*/\1/')
printf '%s' "it is ${token%${token#??????}}" >&2
printf '%s\n' "${token#??????}" >&2
echo "::add-mask::derived" >&2
echo "{\"trigger\":\"$token\"}"
echo "\"$token"
echo "{\"trigger\":\"note\",\"payload\":{\"$token\":[\"<$token>\",\"other\"]}}"
echo "derived $token" >&2
exit 3
`, map[string]string{
		"sensors/watch.yaml": "description: For tests.\nruntime: shell\nentry_point: watch.sh\ntriggers: [note]\nsecrets: [TOKEN]\n",
	}))
	client, err := secret.NewClient(w.bus.Conn)
	if err != nil {
		t.Fatal(err)
	}
	events := w.events(t)
	w.host(t, "a", w.bus, func(c *sensor.Config) { c.Secrets, c.DB = client, w.db })
	if e := next(t, events); string(e.Payload) != `{"***":["<***>","other"]}` && string(e.Payload) != `{"***":["\u003c***\u003e","other"]}` {
		t.Errorf("the event is %s", e.Payload)
	}
	st := w.await(t, watch, "backoff", func(st streams.SensorState) bool { return st.Status == streams.SensorBackoff })
	if !strings.HasSuffix(st.Error, ": *** ***") {
		t.Errorf("its end is %q", st.Error)
	}
	for _, id := range append(st.Logs, st.Log) {
		log := w.log(t, id)
		if strings.Contains(log, canary[:6]) || strings.Contains(log, canary[6:]) {
			t.Errorf("the log shows it: %s", log)
		}
	}
	first := w.log(t, append(st.Logs, st.Log)[0])
	// The host's own notes may stand between what is said at once and what was held back of the same line.
	for _, part := range []string{"it is ", "***\n", "line 1 is no event: trigger \"***\" is none", "line 2 is no event", "line 3: its payload held a secret", "::add-mask::***\n", "*** ***\n"} {
		if !strings.Contains(first, part) {
			t.Errorf("the log has no %q: %s", part, first)
		}
	}
}

func TestAConfigurationThatRefersToASecretHasItsValueInTheSensorOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := w.serveSecrets(t)
	set("TOKEN", canary)
	w.install(t, demo(`input=$(cat)
case "$input" in *'"token":"Bearer `+canary+`"'*) has=yes;; *) has=no;; esac
echo "it is $input" >&2
echo "{\"trigger\":\"note\",\"payload\":[\"$has\"]}"
exec sleep 1000
`, map[string]string{
		"sensors/watch.yaml": "description: For tests.\nruntime: shell\nentry_point: watch.sh\ntriggers: [note]\nconfig: {token: {$secret_text: ['Bearer ', {$secret: TOKEN}]}}\n",
	}))
	client, err := secret.NewClient(w.bus.Conn)
	if err != nil {
		t.Fatal(err)
	}
	events := w.events(t)
	w.host(t, "a", w.bus, func(c *sensor.Config) { c.Secrets, c.DB = client, w.db })
	if e := next(t, events); string(e.Payload) != `["yes"]` {
		t.Errorf("it was given no value: %s", e.Payload)
	}
	set("TOKEN", "changed-value")
	if e := next(t, events); string(e.Payload) != `["no"]` {
		t.Errorf("it was not started anew: %s", e.Payload)
	}
	st := w.await(t, watch, "running", running("a"))
	for _, id := range append(st.Logs, st.Log) {
		if log := w.log(t, id); strings.Contains(log, canary) || strings.Contains(log, "changed-value") {
			t.Errorf("the log shows it: %s", log)
		}
	}
}
