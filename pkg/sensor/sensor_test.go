package sensor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/sensor"
	"github.com/attune/attune/streams"
)

// echo publishes what it read, once, and stays.
const echo = `read -r input
printf '{"trigger":"note","id":"%s","payload":%s}\n' "$$" "$input"
exec sleep 1000
`

func TestASensorReadsItsInputAndPublishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, demo(`read -r input
[ -z "$(cat)" ] || exit 3
pwd >&2
printf '{"trigger":"note","payload":%s,"time":"2026-01-02T03:04:05Z"}\n' "$input"
printf '{"trigger":"demo.rare","id":"1"}\n{"trigger":"rare","id":"1"}\n\n'
printf '{"trigger":"rare"' ; sleep 0.01; printf ',"id":"2"}\n'
exec sleep 1000
`, nil))
	if err := w.store.SetPackConfig(t.Context(), "demo", json.RawMessage(`{"text":"set"}`)); err != nil {
		t.Fatal(err)
	}
	events := w.events(t)
	w.host(t, "a", w.bus, nil)
	e := next(t, events)
	var in struct {
		Sensor  struct{ ID, Name, Pack string }
		Config  map[string]json.RawMessage
		Secrets map[string]string
		Rules   []map[string]string
	}
	if err := json.Unmarshal(e.Payload, &in); err != nil {
		t.Fatal(err)
	}
	if e.Trigger != "demo.note" || e.Source != "sensor:demo.watch" || e.Time.Format(time.RFC3339) != "2026-01-02T03:04:05Z" {
		t.Errorf("event %+v", e)
	}
	if in.Sensor.Name != "watch" || in.Sensor.Pack != "demo" || in.Sensor.ID == "" || string(in.Config["text"]) != `"set"` ||
		string(in.Config["n"]) != "12345678901234567890" || in.Secrets == nil || len(in.Rules) != 1 ||
		in.Rules[0]["name"] != "demo.act" || in.Rules[0]["trigger"] != "note" || in.Rules[0]["when"] != "event.payload.n > 1" {
		t.Errorf("input %s", e.Payload)
	}
	for _, id := range []string{"1", "2"} { // the same id twice is one event
		want := event.DeriveID("sensor", "demo.watch", "rare", id)
		if e := next(t, events); e.ID != want || e.Trigger != "demo.rare" || string(e.Payload) != "{}" {
			t.Errorf("event %+v, want id %s", e, want)
		}
	}
	st := w.await(t, watch, "counted", func(st streams.SensorState) bool { return st.Events == 3 })
	if st.Host != "machine-a" || st.PID == 0 || st.StartedAt == nil || st.LastEventAt == nil || st.Rejected != 0 || st.Restarts != 0 {
		t.Errorf("state %+v", st)
	}
	if said := w.log(t, st.Log); !strings.HasSuffix(said, "/work/demo.watch\n") {
		t.Errorf("log %q", said)
	}
}

func TestOneOfTwoHostsRunsASensorAndTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, demo(echo, nil))
	events := w.events(t)
	stopA := w.host(t, "a", w.bus, nil)
	first := w.await(t, watch, "running on a", running("a"))
	w.host(t, "b", natstest.Connect(t, w.server), nil)
	next(t, events)
	began := time.Now()
	stopA()
	if alive(first.PID) {
		t.Error("the sensor outlived its host")
	}
	w.await(t, watch, "running on b", running("b"))
	if took := time.Since(began); took > streams.LeaseTTL {
		t.Logf("handed over after %v", took)
	}
	next(t, events)
	if len(events) != 0 {
		t.Error("more than one copy ran")
	}
}

// alive tells whether a process is there and has not ended.
func alive(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}

// A host that is cut off kills its sensors before its lease has ended, and another takes them over then.
func TestAHostWithoutABusKillsItsSensors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// It ignores TERM, and every 10 ms notes that it lives.
	w.install(t, demo(`trap '' TERM
file=$(cat | sed 's/.*"text":"\([^"]*\)".*/\1/')
while :; do date +%s%N >>"$file"; sleep 0.01; done
`, nil))
	beats := t.TempDir() + "/beats"
	if err := w.store.SetPackConfig(t.Context(), "demo", json.RawMessage(fmt.Sprintf(`{"text":%q}`, beats))); err != nil {
		t.Fatal(err)
	}
	cut, err := bus.Connect(t.Context(), bus.Config{URL: w.server.URL(), CredsFile: w.server.CredsFile(), Name: "cut", FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cut.Close)
	w.host(t, "a", cut, nil)
	st := w.await(t, watch, "running on a", running("a"))
	w.host(t, "b", natstest.Connect(t, w.server), func(c *sensor.Config) { c.Programs = nil })
	cut.Conn.Close()
	taken := w.await(t, watch, "taken by b", func(st streams.SensorState) bool { return st.Owner == "b" })
	if alive(st.PID) {
		t.Errorf("the sensor of a, process %d, lives when b begins", st.PID)
	}
	if taken.Owner != "b" {
		t.Errorf("state %+v", taken)
	}
}

func TestACrashingSensorIsStartedEverLessOften(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, demo("cat >/dev/null\necho '{\"trigger\":\"rare\"}'\necho fine >&2\necho 'disk on fire' >&2\nexit 3\n", nil))
	w.host(t, "a", w.bus, nil)
	st := w.await(t, watch, "in backoff", func(st streams.SensorState) bool {
		return st.Status == streams.SensorBackoff && st.Restarts == 8
	})
	if st.Error != "ended with status 3: disk on fire" || st.RetryAt == nil || st.PID != 0 || len(st.Logs) < 5 {
		t.Errorf("state %+v", st)
	}
	if said := w.log(t, st.Logs[0]); !strings.Contains(said, "fine\ndisk on fire\n[attune: ended with status 3]\n") {
		t.Errorf("log %q", said)
	}
	w.await(t, watch, "without its oldest logs", func(st streams.SensorState) bool { return len(st.Logs) <= 6 })
}

func TestWhatCannotBeStartedHasFailedUntilItChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, demo("#!/usr/bin/no-such-shell\n", nil))
	w.host(t, "a", w.bus, nil)
	w.host(t, "b", natstest.Connect(t, w.server), nil)
	st := w.await(t, watch, "given up by both", func(st streams.SensorState) bool {
		return st.Status == streams.SensorFailed && st.Owner == "" && len(st.Logs) == 1
	})
	if !strings.Contains(st.Error, "no-such-shell") || st.RetryAt == nil {
		t.Errorf("state %+v", st)
	}
	w.install(t, demo(echo, nil))
	if st := w.await(t, watch, "running", running("")); st.Error != "" {
		t.Errorf("state %+v", st)
	}
}

func TestLinesThatAreNoEventsAreCountedAndHarmNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := []string{
		`nonsense`, `[]`, `{"payload":{}}`, `{"trigger":"other"}`, `{"trigger":"x.note"}`, `{"trigger":"note","data":1}`,
		`{"trigger":"note","trigger":"rare"}`, `{"trigger":7}`, `{"trigger":"note","time":"yesterday"}`, `{"trigger":"note","payload":`,
		`{"trigger":"note","id":"` + strings.Repeat("x", 600) + `"}`,
	}
	script := "cat >/dev/null\nhead -c 3000000 /dev/zero | tr '\\0' x\necho\n"
	for _, line := range bad {
		script += "echo '" + line + "'\n"
	}
	w.install(t, demo(script+"echo '{\"trigger\":\"rare\"}'\nexec sleep 1000\n", nil))
	events := w.events(t)
	w.host(t, "a", w.bus, nil)
	if e := next(t, events); e.Trigger != "demo.rare" {
		t.Errorf("event %+v", e)
	}
	st := w.await(t, watch, "counted", func(st streams.SensorState) bool { return st.Events == 1 && st.Rejected == int64(len(bad)+1) })
	said := w.log(t, st.Log)
	for _, want := range []string{"line 1 is no event: it is longer than 1048576 bytes", `"other" is none of this sensor's: want one of note, rare`, `"data" is not known`} {
		if !strings.Contains(said, want) {
			t.Errorf("the log does not say %q:\n%s", want, said)
		}
	}
}

// A sensor that writes as fast as it can is slowed to the rate; every event is published once, in order, and another
// sensor does not notice.
func TestAFloodIsSlowedAndHarmsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rate, total = 2000, 4000
	w.install(t, demo(fmt.Sprintf("cat >/dev/null\nseq 1 %d | sed 's/.*/{\"trigger\":\"note\",\"payload\":{\"n\":&}}/'\nexec sleep 1000\n", total), map[string]string{
		"triggers/calm.yaml": "description: For tests.\n",
		"rules/calm.yaml":    "trigger: calm\naction: act\n",
		"sensors/calm.yaml":  "description: For tests.\nruntime: shell\nentry_point: calm.sh\ntriggers: [calm]\n",
		"sensors/calm.sh":    "cat >/dev/null\necho '{\"trigger\":\"calm\"}'\nexec sleep 1000\n",
	}))
	events := w.events(t)
	began := time.Now()
	w.host(t, "a", w.bus, func(c *sensor.Config) { c.Rate = rate })
	n, calm := 0, false
	for n < total || !calm {
		e := next(t, events)
		if e.Trigger == "demo.calm" {
			calm = true
			continue
		}
		n++
		if want := fmt.Sprintf(`{"n":%d}`, n); string(e.Payload) != want {
			t.Fatalf("event %d is %s", n, e.Payload)
		}
	}
	if took, least := time.Since(began), time.Second*(total-rate)/rate-100*time.Millisecond; took < least {
		t.Errorf("%d events in %v, want at least %v", total, took, least)
	}
	w.await(t, watch, "counted", func(st streams.SensorState) bool { return st.Events == total })
}

func TestASensorWithoutARuleIsIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, demo(echo, nil))
	w.host(t, "a", w.bus, nil)
	st := w.await(t, watch, "running", running("a"))
	rule := pack.Ref{Pack: "demo", Name: "act"}
	if err := w.store.SetRuleEnabled(t.Context(), rule, false); err != nil {
		t.Fatal(err)
	}
	idle := w.await(t, watch, "idle", func(st streams.SensorState) bool { return st.Status == streams.SensorIdle })
	if alive(st.PID) || idle.Owner != "" || idle.PID != 0 {
		t.Errorf("state %+v", idle)
	}
	if err := w.store.SetRuleEnabled(t.Context(), rule, true); err != nil {
		t.Fatal(err)
	}
	w.await(t, watch, "running again", running("a"))
}

// While the configuration changes again and again, a sensor that counts on from where it was loses nothing: what it
// writes until its end is published before the next copy starts.
func TestAChangeLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, demo(`text=$(sed 's/.*"text":"\([^"]*\)".*/\1/')
n=$(cat last 2>/dev/null || echo 0)
stop() { i=0; while [ $i -lt 50 ]; do i=$((i+1)); n=$((n+1)); echo "{\"trigger\":\"note\",\"payload\":{\"n\":$n,\"text\":\"$text\"}}"; done; echo $n >last; exit; }
trap stop TERM
echo "{\"trigger\":\"rare\",\"payload\":\"$text\"}"
while :; do sleep 0.01; done
`, nil))
	events := w.events(t)
	w.host(t, "a", w.bus, nil)
	n := 0
	for round := range 4 {
		text := "plain"
		if round > 0 {
			text = strconv.Itoa(round)
		}
		for e := next(t, events); ; e = next(t, events) {
			if e.Trigger == "demo.rare" {
				if string(e.Payload) != strconv.Quote(text) {
					t.Fatalf("round %d began as %s", round, e.Payload)
				}
				break
			}
			n++
			if want := fmt.Sprintf(`{"n":%d,`, n); !strings.HasPrefix(string(e.Payload), want) {
				t.Fatalf("event %d is %s", n, e.Payload)
			}
		}
		if err := w.store.SetPackConfig(t.Context(), "demo", json.RawMessage(fmt.Sprintf(`{"text":"%d"}`, round+1))); err != nil {
			t.Fatal(err)
		}
	}
	if n != 150 {
		t.Errorf("%d events after three changes, want 150", n)
	}
}

func TestARestartIsDoneOnRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, demo(echo, nil))
	w.host(t, "a", w.bus, nil)
	w.host(t, "b", natstest.Connect(t, w.server), nil)
	first := w.await(t, watch, "running", running(""))
	subject, err := streams.SensorRestartSubject("demo", "watch")
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.bus.Conn.Request(subject, nil, patience)
	if err != nil || len(m.Data) != 0 {
		t.Fatalf("restart: %v, %v", m, err)
	}
	again := w.await(t, watch, "running again", func(st streams.SensorState) bool { return running("")(st) && st.PID != first.PID })
	if again.Owner != first.Owner || again.Restarts != 0 || again.Logs[0] != first.Log {
		t.Errorf("state %+v, was %+v", again, first)
	}
}

func TestARemovedSensorIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, demo("echo here >&2\n"+echo, nil))
	w.host(t, "a", w.bus, nil)
	st := w.await(t, watch, "running", running("a"))
	kv, err := w.bus.JS.KeyValue(t.Context(), streams.BucketSensors)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := kv.WatchAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Uninstall(t.Context(), "demo", true); err != nil {
		t.Fatal(err)
	}
	for e := range changes.Updates() {
		if e != nil && len(e.Value()) == 0 {
			break
		}
	}
	if alive(st.PID) {
		t.Error("the sensor lives")
	}
	if said := w.log(t, st.Log); said != "" {
		t.Errorf("its log is %q", said)
	}
}

// Several sensors are shared among hosts that were there before them.
func TestSensorsAreSpread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := func(c *sensor.Config) { c.Pace.Yield = patience }
	w.host(t, "a", w.bus, slow)
	w.host(t, "b", natstest.Connect(t, w.server), slow)
	kv, err := w.bus.JS.KeyValue(t.Context(), streams.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	leases, err := kv.Watch(t.Context(), "sensors.*")
	if err != nil {
		t.Fatal(err)
	}
	for seen := map[string]bool{}; len(seen) < 2; {
		if e := <-leases.Updates(); e != nil {
			seen[e.Key()] = true
		}
	}
	more := map[string]string{}
	for i := range 5 {
		more[fmt.Sprintf("sensors/s%d.yaml", i)] = "description: For tests.\nruntime: shell\nentry_point: watch.sh\ntriggers: [note]\n"
	}
	w.install(t, demo(echo, more))
	owned := map[string]int{}
	for _, name := range []string{"watch", "s0", "s1", "s2", "s3", "s4"} {
		owned[w.await(t, pack.Ref{Pack: "demo", Name: name}, "running", running("")).Owner]++
	}
	if owned["a"] != 3 || owned["b"] != 3 {
		t.Errorf("owned %v", owned)
	}
}
