package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func packWithStrictHook() pack.Pack {
	return pack.Pack{Name: "strict", Version: "1.0.0", Triggers: []pack.Trigger{{
		Name: "hook", Webhook: &pack.Webhook{Scheme: "none", AllowUnauthenticated: true},
		Payload: json.RawMessage(`{"type":"object","required":["host"]}`),
	}}}
}

func (f *fixture) publish(body any, headers ...string) string {
	f.t.Helper()
	return want[wire.EventAccepted](f.post("/api/v1/events", body, headers...), http.StatusAccepted).ID
}

func TestAnEventSaysWhatEveryRuleDecided(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRules()
	yes := f.publish(`{"trigger":"demo.note","payload":{"host":"web1"},"source":"me","time":"2026-01-02T03:04:05Z"}`)
	no := f.publish(`{"trigger":"demo.note","payload":{"host":"web2"}}`)
	decided := func() bool {
		return want[wire.Event](f.get("/api/v1/events/"+no), http.StatusOK).Status == streams.EventDecided
	}
	check := func(from string) {
		t.Helper()
		e := want[wire.Event](f.get("/api/v1/events/"+yes), http.StatusOK)
		if len(e.Decisions) != 2 || e.Decisions[0].Outcome != streams.Matched || e.Decisions[0].Rule != "demo.on-note" || e.Source != "me" ||
			e.Time.Format("2006-01-02") != "2026-01-02" || string(e.Payload) != `{"host":"web1"}` {
			t.Fatalf("from %s: %+v", from, e)
		}
		x := want[wire.Execution](f.get("/api/v1/executions/"+e.Decisions[0].Execution), http.StatusOK)
		if x.Event != yes || x.Rule != "demo.on-note" || string(x.Parameters) != `{"count":1,"message":"web1"}` {
			t.Errorf("from %s: execution %+v", from, x)
		}
		e = want[wire.Event](f.get("/api/v1/events/"+no), http.StatusOK)
		if len(e.Decisions) != 2 || e.Decisions[0].Outcome != streams.NotMatched || !strings.Contains(e.Decisions[0].Reason, "web2") {
			t.Errorf("from %s: %+v", from, e)
		}
	}
	f.eventually("it is decided", decided)
	check("the bus") // no recorder runs
	f.withRecorder()
	f.eventually("history has both", func() bool {
		return len(want[wire.Page[wire.Event]](f.get("/api/v1/events?status=decided"), http.StatusOK).Items) == 2
	})
	f.purge(streams.Events)
	f.purge(streams.Decisions)
	check("history")
	for query, n := range map[string]int{"trigger=demo.note": 2, "trigger=demo.open": 0, "status=rejected": 0, "since=1h": 2, "until=1h": 0, "limit=1": 1} {
		if got := len(want[wire.Page[wire.Event]](f.get("/api/v1/events?"+query), http.StatusOK).Items); got != n {
			t.Errorf("%s gives %d, want %d", query, got, n)
		}
	}
}

func TestAnEventIsThereAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, body := range []string{
		`{"trigger":"demo.note","payload":{"host":"web1"}}`,
		`{"trigger":"demo.note","payload":{"host":"web1"},"id":"` + newID() + `"}`,
	} {
		id := f.publish(body)
		e := want[wire.Event](f.get("/api/v1/events/"+id), http.StatusOK)
		if e.Status != streams.EventReceived || e.Trigger != "demo.note" || string(e.Payload) != `{"host":"web1"}` || e.Source != "api" {
			t.Errorf("event %+v", e)
		}
	}
	f.get("/api/v1/events/"+newID()).refused(http.StatusNotFound, wire.CodeNotFound)
	f.get("/api/v1/events/1").refused(http.StatusNotFound, wire.CodeNotFound)
}

func TestAnEventWithAnIDIsOneEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	id := newID()
	body := `{"trigger":"demo.open","payload":1,"id":"` + id + `"}`
	for range 3 {
		if got := f.publish(body); got != id {
			t.Errorf("id %s, want %s", got, id)
		}
	}
	if n := f.count(streams.Events); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	f.eventually("history has it", func() bool {
		return len(want[wire.Page[wire.Event]](f.get("/api/v1/events"), http.StatusOK).Items) == 1
	})
	f.purge(streams.Events)
	f.publish(body)
	if n := f.count(streams.Events); n != 0 {
		t.Errorf("%d events after the stream forgot, want none", n)
	}
	f.post("/api/v1/events", `{"trigger":"demo.note","payload":{"host":"a"},"id":"`+id+`"}`).refused(http.StatusConflict, wire.CodeConflict)
}

func TestCloudEventsAreEventsUnderTheIDTheyHaveOnTheBus(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := event.DeriveID("ce", "/disk", "a1")
	structured := f.publish(`{"specversion":"1.0","type":"demo.note","source":"/disk","id":"a1","time":"2026-01-02T03:04:05Z","extra":7,"data":{"host":"n","big":9007199254740993}}`,
		"Content-Type", "application/cloudevents+json; charset=utf-8")
	binary := f.publish(`{"host":"n","big":9007199254740993}`, "Ce-Specversion", "1.0", "Ce-Type", "demo.note", "Ce-Source", "/disk", "Ce-Id", "a1")
	if structured != id || binary != id || f.count(streams.Events) != 1 {
		t.Errorf("structured %s, binary %s, want %s; %d events", structured, binary, id, f.count(streams.Events))
	}
	e := want[wire.Event](f.get("/api/v1/events/"+id), http.StatusOK)
	if e.Source != "/disk" || e.Time.Year() != 2026 || !strings.Contains(string(e.Payload), "9007199254740993") {
		t.Errorf("event %+v with %s", e, e.Payload)
	}
	base64 := f.publish(`{"specversion":"1.0","type":"demo.note","source":"/disk","id":"a2","datacontenttype":"application/json","data_base64":"eyJob3N0IjoiYiJ9"}`,
		"Content-Type", "application/cloudevents+json")
	if e := want[wire.Event](f.get("/api/v1/events/"+base64), http.StatusOK); string(e.Payload) != `{"host":"b"}` {
		t.Errorf("base64 became %s", e.Payload)
	}
}

func TestWrongEventsAreRefusedAndNotPublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const cloud = "application/cloudevents+json"
	for name, c := range map[string]struct {
		media, body string
		status      int
		code        string
		fields      []string
	}{
		"no trigger":                {"", `{"payload":{}}`, 400, wire.CodeInvalidRequest, []string{"trigger"}},
		"an unknown trigger":        {"", `{"trigger":"demo.nope"}`, 404, wire.CodeNotFound, nil},
		"a wildcard as trigger":     {"", `{"trigger":"demo.>"}`, 404, wire.CodeNotFound, nil},
		"a payload that misses":     {"", `{"trigger":"demo.note","payload":{}}`, 400, wire.CodeInvalidPayload, []string{"payload.host"}},
		"no payload where needed":   {"", `{"trigger":"demo.note"}`, 400, wire.CodeInvalidPayload, []string{"payload.host"}},
		"a payload of a wrong type": {"", `{"trigger":"demo.note","payload":{"host":7}}`, 400, wire.CodeInvalidPayload, []string{"payload.host"}},
		"an id that is none":        {"", `{"trigger":"demo.open","id":"1"}`, 400, wire.CodeInvalidRequest, []string{"id"}},
		"a time that is none":       {"", `{"trigger":"demo.open","time":"now"}`, 400, wire.CodeInvalidJSON, nil},
		"an unknown field":          {"", `{"trigger":"demo.open","data":1}`, 400, wire.CodeInvalidJSON, []string{"data"}},
		"a field twice":             {"", `{"trigger":"demo.open","trigger":"demo.note"}`, 400, wire.CodeInvalidJSON, []string{"trigger"}},
		"an empty body":             {"", ``, 400, wire.CodeInvalidJSON, nil},
		"text":                      {"text/plain", `{"trigger":"demo.open"}`, 415, wire.CodeUnsupportedMedia, nil},
		"a batch of CloudEvents":    {"application/cloudevents-batch+json", `[]`, 415, wire.CodeUnsupportedMedia, nil},
		"too much":                  {"", `{"trigger":"demo.open","payload":"` + strings.Repeat("x", 1<<20) + `"}`, 413, wire.CodeTooLarge, []string{"payload"}},
		"far too much":              {"", `{"trigger":"demo.open","payload":"` + strings.Repeat("x", 3<<20) + `"}`, 413, wire.CodeTooLarge, nil},
		"a CloudEvent without id":   {cloud, `{"specversion":"1.0","type":"demo.open","source":"a"}`, 400, wire.CodeInvalidRequest, []string{"id"}},
		"a CloudEvent of version 2": {cloud, `{"specversion":"2.0","type":"demo.open","source":"a","id":"1"}`, 400, wire.CodeInvalidRequest, []string{"specversion"}},
		"a CloudEvent with case":    {cloud, `{"specversion":"1.0","Type":"demo.open","type":"demo.open","source":"a","id":"1"}`, 400, wire.CodeInvalidRequest, []string{"Type"}},
		"a CloudEvent with numbers": {cloud, `{"specversion":1.0,"type":"demo.open","source":"a","id":"1"}`, 400, wire.CodeInvalidJSON, nil},
		"a CloudEvent of XML":       {cloud, `{"specversion":"1.0","type":"demo.open","source":"a","id":"1","datacontenttype":"application/xml","data":"<a/>"}`, 415, wire.CodeUnsupportedMedia, nil},
		"a CloudEvent with no time": {cloud, `{"specversion":"1.0","type":"demo.open","source":"a","id":"1","time":"soon"}`, 400, wire.CodeInvalidRequest, []string{"time"}},
	} {
		t.Log(name)
		var headers []string
		if c.media != "" {
			headers = []string{"Content-Type", c.media}
		}
		f.post("/api/v1/events", c.body, headers...).refused(c.status, c.code, c.fields...)
	}
	if n := f.count(streams.Events); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}
