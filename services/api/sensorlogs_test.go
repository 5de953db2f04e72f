package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/streams"
)

// sensorLog stores the log of a start of demo.watch, which has ended.
func (f *fixture) sensorLog(text string) (id string) {
	f.t.Helper()
	id = newID()
	store, err := logs.Open(f.t.Context(), logs.Config{Bus: f.bus})
	if err != nil {
		f.t.Fatal(err)
	}
	w, err := store.NewWriter(id, logs.Source{}, logs.Limits{})
	if err != nil {
		f.t.Fatal(err)
	}
	say(f.t, w.Stderr(), text)
	f.close(w)
	kv, err := f.bus.JS.KeyValue(f.t.Context(), streams.BucketSensors)
	if err != nil {
		f.t.Fatal(err)
	}
	data, err := json.Marshal(streams.SensorState{Version: streams.Version, Status: streams.SensorBackoff, Log: id})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := kv.Put(f.t.Context(), "demo.watch", data); err != nil {
		f.t.Fatal(err)
	}
	return id
}

func TestTheLogOfASensorIsReadLineByLineToo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.sensorLog("begun\nWARN one\nfine\nWARN two\n")
	read := func(query, accept string, more ...string) string {
		t.Helper()
		a := f.call(http.MethodGet, "/api/v1/sensors/demo.watch/logs"+query, nil, append([]string{"Accept", accept}, more...)...)
		if media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";"); a.status != http.StatusOK || media != accept || a.header.Get(wire.HeaderLog) != id {
			t.Errorf("%s as %s: %d, %v", query, accept, a.status, a.header)
		}
		return string(a.body)
	}
	texts := func(body string) (all []string) {
		for line := range strings.Lines(body) {
			var r wire.LogRecord
			if json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &r) == nil && r.Text != "" {
				all = append(all, r.Stream+" "+r.Text)
			}
		}
		return all
	}
	const one, two = "stderr WARN one\n", "stderr WARN two\n"
	if got := read("?grep=WARN", "text/plain"); got != "WARN one\nWARN two\n" {
		t.Errorf("text: %q", got)
	}
	if got := texts(read("?grep=WARN", "application/jsonl")); strings.Join(got, "") != one+two {
		t.Errorf("records: %q", got)
	}
	if got := texts(read("?tail=2", "application/jsonl")); strings.Join(got, "") != "stderr fine\n"+two {
		t.Errorf("the last two: %q", got)
	}
	events := read("?grep=WARN&follow=true", "text/event-stream")
	if got := texts(events); strings.Join(got, "") != one+two || !strings.Contains(events, "\nevent: end\n") {
		t.Errorf("events: %s", events)
	}
	behind := "stdout:0,stderr:15" // the first WARN
	if got := texts(read("?grep=WARN&tail=4", "text/event-stream", wire.HeaderLastEventID, behind)); strings.Join(got, "") != two {
		t.Errorf("behind the first: %q", got)
	}
}

func TestWhatLogsOfSensorsCannotBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/v1/sensors/demo.watch/logs"
	if a := f.call(http.MethodGet, path, nil, "Accept", "text/event-stream"); a.status != http.StatusOK || !strings.Contains(string(a.body), "event: end\n") {
		t.Errorf("of one that was never started: %d %s", a.status, a.body)
	}
	if a := f.get(path); a.status != http.StatusOK || len(a.body) > 0 {
		t.Errorf("of one that was never started: %d %s", a.status, a.body)
	}
	f.sensorLog("begun\n")
	f.call(http.MethodGet, path, nil, "Accept", "image/png").refused(http.StatusNotAcceptable, wire.CodeNotAcceptable)
	f.call(http.MethodGet, path+"?tail=100001", nil, "Accept", "application/jsonl").refused(http.StatusBadRequest, wire.CodeInvalidRequest, "tail")
	f.call(http.MethodGet, path, nil, "Accept", "text/event-stream", wire.HeaderLastEventID, "x").refused(http.StatusBadRequest, wire.CodeInvalidRequest, wire.HeaderLastEventID)
	f.get(path+"?grep=(").refused(http.StatusBadRequest, wire.CodeInvalidRequest, "grep")
}
