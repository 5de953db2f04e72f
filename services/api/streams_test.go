package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/event"
	"github.com/attune/attune/services/api"
	"github.com/attune/attune/streams"
)

// listener reads server-sent events.
type listener struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Scanner
	stop  context.CancelFunc
	begin string // id with which the stream began
}

type sent struct {
	id, name, data string
}

func (f *fixture) listen(path string, headers ...string) *listener {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	f.t.Cleanup(cancel)
	headers = append([]string{"Authorization", "Bearer " + token}, headers...)
	resp, err := f.http.Do(f.request(ctx, http.MethodGet, path, nil, headers...))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		f.t.Fatalf("%s answered %d %v", path, resp.StatusCode, resp.Header)
	}
	l := &listener{t: f.t, resp: resp, lines: bufio.NewScanner(resp.Body), stop: cancel}
	l.lines.Buffer(nil, 8<<20)
	return l
}

// next gives the next event, or the mark of the beginning.
func (l *listener) next() sent {
	l.t.Helper()
	var e sent
	for l.lines.Scan() {
		name, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e != (sent{}) {
				return e
			}
		}
	}
	l.t.Fatalf("stream ended: %v", l.lines.Err())
	return e
}

func (l *listener) started() *listener {
	l.t.Helper()
	if e := l.next(); e.name != "" || e.id == "" {
		l.t.Fatalf("began with %+v", e)
	} else {
		l.begin = e.id
	}
	return l
}

func (l *listener) execution() (wire.Execution, string) {
	l.t.Helper()
	e := l.next()
	var x wire.Execution
	if err := json.Unmarshal([]byte(e.data), &x); err != nil || e.name != wire.StreamedExecution {
		l.t.Fatalf("got %+v: %v", e, err)
	}
	return x, e.id
}

func TestAStreamTellsEveryChangeAndResumesWithoutAGap(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.requestEcho() // before the stream: not told
	l := f.listen("/api/v1/executions/stream").started()
	id := f.requestEcho().ID
	f.move(id, streams.Running)
	x, _ := l.execution()
	if x.ID != id || x.Status != streams.Requested || string(x.Parameters) != `{"count":1,"message":"hi"}` {
		t.Errorf("first %+v", x)
	}
	x, last := l.execution()
	if x.Status != streams.Running || x.Runner != "runner-1" {
		t.Errorf("second %+v", x)
	}
	l.stop()
	f.move(id, streams.Canceling, streams.Canceled) // while nobody listens
	l = f.listen("/api/v1/executions/stream", "Last-Event-ID", last).started()
	for _, status := range []streams.Status{streams.Canceling, streams.Canceled} {
		if x, _ := l.execution(); x.Status != status || x.ID != id {
			t.Errorf("resumed with %+v, want %s", x, status)
		}
	}
}

func TestAStreamCanBeResumedBeforeItsFirstEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.requestEcho()
	l := f.listen("/api/v1/executions/stream").started()
	l.stop()
	id := f.requestEcho().ID
	if x, _ := f.listen("/api/v1/executions/stream", "Last-Event-ID", l.begin).started().execution(); x.ID != id {
		t.Errorf("resumed with %+v, want %s", x, id)
	}
}

func TestAStreamMayBeNarrowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	byID := f.requestEcho().ID
	one := f.listen("/api/v1/executions/stream?id=" + byID).started()
	ended := f.listen("/api/v1/executions/stream?status=succeeded,failed").started()
	action := f.listen("/api/v1/executions/stream?action=demo.slow").started()
	rule := f.listen("/api/v1/executions/stream?rule=demo.on-note").started()
	other := f.requestEcho().ID
	f.move(other, streams.Running, streams.Failed)
	f.move(byID, streams.Running)
	slow := want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`), http.StatusAccepted).ID
	if x, _ := one.execution(); x.ID != byID || x.Status != streams.Running {
		t.Errorf("by id: %+v", x)
	}
	if x, _ := ended.execution(); x.ID != other || x.Status != streams.Failed {
		t.Errorf("by status: %+v", x)
	}
	if x, _ := action.execution(); x.ID != slow {
		t.Errorf("by action: %+v", x)
	}
	f.withRules()
	f.publish(`{"trigger":"demo.note","payload":{"host":"web1"}}`)
	if x, _ := rule.execution(); x.Rule != "demo.on-note" {
		t.Errorf("by rule: %+v", x)
	}
	for _, query := range []string{"id=1", "action=demo", "status=done", "when=now"} {
		f.get("/api/v1/executions/stream?"+query).refused(http.StatusBadRequest, wire.CodeInvalidRequest)
	}
	f.call(http.MethodGet, "/api/v1/executions/stream", nil, "Last-Event-ID", "x").refused(http.StatusBadRequest, wire.CodeInvalidRequest, "Last-Event-ID")
	f.get("/api/v1/events/stream?trigger=demo.*").refused(http.StatusBadRequest, wire.CodeInvalidRequest, "trigger")
}

func TestAGapIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 3 {
		f.publish(`{"trigger":"demo.open"}`)
	}
	f.purge(streams.Events)
	id := f.publish(`{"trigger":"demo.open"}`)
	for lastID, gap := range map[string]string{"1": `{"from":2,"to":3}`, "99": `{"from":1,"to":3}`} {
		l := f.listen("/api/v1/events/stream", "Last-Event-ID", lastID)
		if e := l.next(); e.name != wire.StreamedGap || e.data != gap {
			t.Errorf("behind %s: %+v, want %s", lastID, e, gap)
		}
		if e := l.started().next(); e.name != wire.StreamedEvent || !strings.Contains(e.data, id) {
			t.Errorf("behind %s and the gap: %+v", lastID, e)
		}
	}
}

func TestEventsAreStreamedAsTheyCame(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := f.listen("/api/v1/events/stream").started()
	notes := f.listen("/api/v1/events/stream?trigger=demo.note").started()
	if _, err := f.bus.JS.Publish(t.Context(), "attune.event.demo.open", []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	id := f.publish(`{"trigger":"demo.note","payload":{"host":"web1"}}`)
	if e := all.next(); !strings.Contains(e.data, `"rejected"`) || e.name != wire.StreamedEvent {
		t.Errorf("got %+v", e)
	}
	if e := notes.next(); !strings.Contains(e.data, id) || !strings.Contains(e.data, `"host":"web1"`) {
		t.Errorf("got %+v", e)
	}
}

// A client that does not read is dropped, while others go on.
func TestASlowClientIsDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.SlowClient = 200 * time.Millisecond })
	slow, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := f.request(t.Context(), http.MethodGet, "/api/v1/events/stream", nil, "Authorization", "Bearer "+token).Write(slow); err != nil {
		t.Fatal(err)
	}
	f.eventually("both are served", func() bool { return f.openStreams() == "1" })
	good := f.listen("/api/v1/events/stream").started()
	payload := json.RawMessage(`"` + strings.Repeat("x", 512<<10) + `"`)
	for range 24 {
		if _, err := event.Publish(t.Context(), f.bus.JS, event.New{Trigger: "demo.open", Payload: payload}); err != nil {
			t.Fatal(err)
		}
		if e := good.next(); e.name != wire.StreamedEvent {
			t.Fatalf("got %+v", e)
		}
	}
	f.eventually("the slow one is gone", func() bool { return f.openStreams() == "1" })
	f.publish(`{"trigger":"demo.open","payload":"last"}`)
	if e := good.next(); !strings.Contains(e.data, "last") {
		t.Errorf("got %.100v", e)
	}
}

// openStreams gives the number of open streams as the metrics tell it.
func (f *fixture) openStreams() string {
	f.t.Helper()
	for line := range strings.Lines(string(f.get("/metrics").body)) {
		if n, ok := strings.CutPrefix(line, "attune_http_streams_open "); ok {
			return strings.TrimSpace(n)
		}
	}
	f.t.Fatal("no metric of open streams")
	return ""
}

func TestStreamsEndWithTheService(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.requestEcho().ID
	l := f.listen("/api/v1/executions/stream").started()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	follow, err := f.http.Do(f.request(ctx, http.MethodGet, "/api/v1/executions/"+id+"/logs/stdout?follow=true", nil, "Authorization", "Bearer "+token))
	if err != nil {
		t.Fatal(err)
	}
	defer follow.Body.Close()
	begin := time.Now()
	f.stop()
	if d := time.Since(begin); d > 15*time.Second {
		t.Errorf("stopping took %s", d)
	}
	for l.lines.Scan() {
	}
	if _, err := follow.Body.Read(make([]byte, 1)); err == nil || err.Error() == "EOF" {
		t.Errorf("a log that was cut off ended with %v: it looks complete", err)
	}
}
