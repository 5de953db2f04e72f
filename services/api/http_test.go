package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/services/api"
)

// document is what of the OpenAPI document the tests read.
type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Right       string `json:"x-attune-right"`
		Summary     string
		Security    *[]map[string][]string
		Responses   map[string]any
		RequestBody struct{ Content map[string]any }
	}
	Components struct{ Schemas map[string]any }
}

func (f *fixture) document() document {
	f.t.Helper()
	return want[document](f.get("/openapi.json"), http.StatusOK)
}

// withoutToken are the only routes that take anybody.
var withoutToken = []string{"get /healthz", "get /readyz", "post /api/v1/session", "post /api/v1/session/exchange", "post /api/v1/webhooks/{pack}/{trigger}"}

func TestEveryRouteButTheListedRefusesAMissingToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var open []string
	for path, methods := range f.document().Paths {
		for method, o := range methods {
			real := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "demo.echo")
			public := o.Security != nil && len(*o.Security) == 0
			if public {
				open = append(open, method+" "+path)
				continue
			}
			for _, headers := range [][]string{
				nil,
				{"Authorization", "Bearer "},
				{"Authorization", "Bearer wrong"},
				{"Authorization", "Bearer " + token + "x"},
				{"Authorization", token},
				{"Authorization", "Basic " + token},
				{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token},
			} {
				a := f.send(strings.ToUpper(method), real, nil, headers...)
				a.refused(http.StatusUnauthorized, wire.CodeUnauthorized)
				if a.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s: no WWW-Authenticate", method, path)
				}
			}
		}
	}
	slices.Sort(open)
	if !slices.Equal(open, withoutToken) {
		t.Errorf("without token: %v, want %v", open, withoutToken)
	}
	for _, path := range []string{"/docs", "/openapi.json", "/metrics", "/", "/api/v1/nope", "/api/v1/webhooks/../executions"} {
		if a := f.send(http.MethodGet, path, nil); a.status != http.StatusUnauthorized {
			t.Errorf("%s answered %d to nobody", path, a.status)
		}
	}
}

// Browsers also send basic authentication when another site asks them to, so it opens nothing that does anything.
func TestBasicAuthenticationOpensOnlyPagesToRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for path, status := range map[string]int{"/docs": 200, "/openapi.json": 200, "/metrics": 200, "/api/v1/executions": 401} {
		req := f.request(t.Context(), http.MethodGet, path, nil)
		req.SetBasicAuth("me", token)
		resp, err := f.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s answered %d, want %d", path, resp.StatusCode, status)
		}
	}
}

func TestTheDescriptionIsWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.document()
	if d.OpenAPI != "3.1.0" {
		t.Errorf("version %s", d.OpenAPI)
	}
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, o := range methods {
			if o.OperationID == "" || o.Summary == "" || ids[o.OperationID] || len(o.Responses) == 0 {
				t.Errorf("%s %s: %+v", method, path, o)
			}
			ids[o.OperationID] = true
		}
	}
	if len(ids) < 35 {
		t.Errorf("%d routes", len(ids))
	}
	raw := string(f.get("/openapi.json").body)
	for _, m := range regexp.MustCompile(`"#/components/schemas/(\w+)"`).FindAllStringSubmatch(raw, -1) {
		if d.Components.Schemas[m[1]] == nil {
			t.Errorf("schema %s is referred to and not there", m[1])
		}
	}
	for _, want := range []string{"application/cloudevents+json", "text/event-stream", "application/problem+json", "invalid_parameters", "Idempotency-Key"} {
		if !strings.Contains(raw, want) {
			t.Errorf("%s is not in the description", want)
		}
	}
	_, events := d.Paths["/api/v1/events"]["post"].RequestBody.Content["application/json"]
	if !events {
		t.Error("the body of POST /events is not described")
	}
}

func TestTheDocumentationNeedsNothingButItself(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.get("/docs")
	page := string(a.body)
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Fatalf("docs answered %d as %s", a.status, a.header.Get("Content-Type"))
	}
	for _, bad := range []string{"<script", "src=", "http://", "https://", "@import", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	for _, want := range []string{"/api/v1/executions/{id}/logs/{stream}", "schema-ExecutionRequest", "Idempotency-Key", "Needs no token"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestHealthTellsWhatIsAway(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	f := serve(t, natstest.Connect(t, server))
	if h := want[wire.Health](f.send(http.MethodGet, "/healthz", nil), http.StatusOK); h.Status != "ok" || h.Version != "test" {
		t.Errorf("health %+v", h)
	}
	if h := want[wire.Health](f.send(http.MethodGet, "/readyz", nil), http.StatusOK); h.Status != "ok" || len(h.Checks) < 4 {
		t.Errorf("ready %+v", h)
	}
	server.Stop()
	h := want[wire.Health](f.send(http.MethodGet, "/readyz", nil), http.StatusServiceUnavailable)
	away := map[string]bool{}
	for _, c := range h.Checks {
		away[c.Name] = !c.OK && c.Error != ""
	}
	if !away["nats"] || away["postgresql"] {
		t.Errorf("without NATS: %+v", h)
	}
	f.post("/api/v1/executions", `{"action":"demo.slow"}`).refused(http.StatusServiceUnavailable, wire.CodeBusDown)
	f.post("/api/v1/events", `{"trigger":"demo.open"}`).refused(http.StatusServiceUnavailable, wire.CodeBusDown)
	f.deliver("open", "{}").refused(http.StatusServiceUnavailable, wire.CodeBusDown)
	f.get("/api/v1/queues").refused(http.StatusServiceUnavailable, wire.CodeBusDown)
	f.get("/api/v1/runners").refused(http.StatusServiceUnavailable, wire.CodeBusDown)
	f.get("/api/v1/executions/stream").refused(http.StatusServiceUnavailable, wire.CodeBusDown)
	want[wire.Page[wire.Execution]](f.get("/api/v1/executions"), http.StatusOK) // history does not need it
	want[wire.Health](f.send(http.MethodGet, "/healthz", nil), http.StatusOK)
}

func TestHostileRequestsAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call(http.MethodPatch, "/api/v1/executions", nil).refused(http.StatusMethodNotAllowed, wire.CodeMethodNotAllowed)
	f.get("/api/v1/nope").refused(http.StatusNotFound, wire.CodeNotFound)
	f.get("/api/v1/packs/%2e%2e%2f%2e%2e%2fetc").refused(http.StatusNotFound, wire.CodeNotFound)
	f.post("/api/v1/executions", `{"action":"demo.slow"}`, "Content-Type", "text/xml").refused(http.StatusUnsupportedMediaType, wire.CodeUnsupportedMedia)
	f.post("/api/v1/executions", `{"action":"demo.slow"}`, "Content-Encoding", "gzip").refused(http.StatusUnsupportedMediaType, wire.CodeUnsupportedMedia)
	f.post("/api/v1/executions", endless{}, "Content-Type", "application/json").refused(http.StatusRequestEntityTooLarge, wire.CodeTooLarge)
	f.post("/api/v1/events", endless{}, "Content-Type", "application/json").refused(http.StatusRequestEntityTooLarge, wire.CodeTooLarge)
	f.deliver("open", strings.Repeat(" ", 40<<20)).refused(http.StatusRequestEntityTooLarge, wire.CodeTooLarge)
	if a := f.get("/api/v1/executions?action=" + strings.Repeat("x", 100<<10)); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long query answered %d", a.status)
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(f.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(bufio.NewReader(c))
	if err != nil || strings.Contains(string(data), "200 OK") {
		t.Errorf("got %q, %v; want the connection closed", data, err)
	}
}

func TestNumbersOfRequestsAreCountedByRoute(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.get("/api/v1/executions/" + newID())
	page := string(f.get("/metrics").body)
	if want := `attune_http_requests_total{method="GET",route="/api/v1/executions/{id}",status="404"} 1`; !strings.Contains(page, want) {
		t.Errorf("no %s in\n%s", want, page)
	}
}

func TestAServiceThatLacksSomethingIsNotMade(t *testing.T) {
	t.Parallel()
	if _, err := api.New(t.Context(), api.Config{}); err == nil {
		t.Error("a service without anything was made")
	}
}

// A route that no test of this package calls is a route without a test: this one calls each, with an example.
func TestEveryRouteAnswersItsExample(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScheduler()
	f.withRecorder()
	id := f.requestEcho().ID
	f.move(id, "running", "failed")
	eventID := f.publish(`{"trigger":"demo.open"}`)
	f.call(http.MethodPut, "/api/v1/secrets/KEPT", wire.SecretValue{Value: "x"})
	examples := map[string]struct {
		path   string
		body   any
		status int
	}{
		"request-execution": {"/executions", `{"action":"demo.slow"}`, 202}, "list-executions": {"/executions", nil, 200},
		"show-execution": {"/executions/" + id, nil, 200}, "cancel-execution": {"/executions/" + id + "/cancel", nil, 202},
		"retry-execution": {"/executions/" + id + "/retry", nil, 202}, "read-log": {"/executions/" + id + "/logs/stdout", nil, 200},
		"export-execution": {"/executions/" + id + "/export", nil, 200},
		"read-logs":        {"/executions/" + id + "/logs", nil, 200},
		"show-retention":   {"/retention", nil, 200}, "sweep-logs": {"/retention/sweep", nil, 202},
		"stream-executions": {"/executions/stream", nil, 200}, "stream-events": {"/events/stream", nil, 200},
		"publish-event": {"/events", `{"trigger":"demo.open"}`, 202}, "list-events": {"/events", nil, 200}, "show-event": {"/events/" + eventID, nil, 200},
		"receive-webhook": {"/webhooks/demo/open", `{}`, 202},
		"list-queues":     {"/queues", nil, 200}, "show-queue": {"/queues/demo.slow", nil, 200}, "pause-queue": {"/queues/demo.slow/pause", nil, 200},
		"resume-queue": {"/queues/demo.slow/resume", nil, 200}, "show-queue-stats": {"/actions/demo.slow/queue-stats", nil, 200},
		"drain-queue": {"/queues/demo.deploy/drain", nil, 200}, "limit-queue": {"/queues/_all/limit", `{"limit":null}`, 200},
		"cancel-executions": {"/executions/cancel", `{"action":"demo.echo"}`, 200},
		"install-pack":      {"/packs", hello("1.0.0").archive(t), 200}, "list-packs": {"/packs", nil, 200}, "show-pack": {"/packs/demo", nil, 200},
		"uninstall-pack": {"/packs/demo", nil, 200}, "show-pack-status": {"/packs/demo/status", nil, 200}, "read-pack-log": {"/packs/demo/log", nil, 404},
		"show-pack-config": {"/packs/demo/config", nil, 200}, "set-pack-config": {"/packs/demo/config", `{"config":{}}`, 200},
		"switch-pack": {"/packs/demo/switch", nil, 409}, "rollback-pack": {"/packs/demo/rollback", nil, 409},
		"list-actions": {"/actions", nil, 200}, "show-action": {"/actions/demo.echo", nil, 200}, "list-triggers": {"/triggers", nil, 200},
		"show-trigger": {"/triggers/demo.note", nil, 200}, "list-sensors": {"/sensors", nil, 200}, "show-sensor": {"/sensors/demo.watch", nil, 200},
		"restart-sensor": {"/sensors/demo.watch/restart", nil, 409}, "read-sensor-log": {"/sensors/demo.watch/logs", nil, 200},
		"list-rules": {"/rules", nil, 200}, "show-rule": {"/rules/demo.on-note", nil, 200}, "enable-rule": {"/rules/demo.on-note/enable", nil, 200},
		"disable-rule": {"/rules/demo.on-note/disable", nil, 200}, "list-services": {"/services", nil, 200}, "list-runners": {"/runners", nil, 200}, "show-runner": {"/runners/nobody", nil, 404},
		"list-secrets": {"/secrets", nil, 200}, "set-named-secret": {"/secrets", `{"name":"A","value":"b"}`, 200}, "set-secret": {"/secrets/A", `{"value":"b"}`, 200},
		"list-secret-versions": {"/secrets/KEPT/versions", nil, 200}, "restore-secret": {"/secrets/KEPT/restore", `{"version":1}`, 200},
		"rotate-secret": {"/secrets/KEPT/rotate", nil, 200}, "show-secret-keys": {"/secret-keys", nil, 200},
		"rotate-secrets": {"/secret-keys/rotate", nil, 200}, "change-secret-key": {"/secret-keys/change", nil, 200},
		"delete-secret": {"/secrets/A", nil, 204}, "show-health": {"", nil, 200}, "show-readiness": {"", nil, 200},
		"list-tokens": {"/tokens", nil, 200}, "create-token": {"/tokens", `{"name":"a","role":"viewer"}`, 201}, "revoke-token": {"/tokens/nobody", nil, 404},
		"list-users": {"/users", nil, 200}, "create-user": {"/users", `{"name":"a","role":"viewer"}`, 201},
		"enable-user": {"/users/nobody/enable", nil, 404}, "disable-user": {"/users/nobody/disable", nil, 404},
		"set-rights":   {"/users/nobody/rights", `{"role":"viewer"}`, 404},
		"set-password": {"/users/nobody/password", `{"password":"0123456789ab"}`, 404},
		"list-audit":   {"/audit", nil, 200}, "verify-audit": {"/audit/verify", nil, 200},
		"show-session": {"/session", nil, 200}, "sign-in": {"/session", `{"name":"nobody","password":"x"}`, 401}, "sign-out": {"/session", nil, 400},
		"exchange-code": {"/session/exchange", `{"code":"x","verifier":"x"}`, 401},
	}
	last := func(id string) bool { return strings.HasPrefix(id, "uninstall") || strings.HasPrefix(id, "delete") }
	for _, round := range []bool{false, true} {
		for path, methods := range f.document().Paths {
			for method, o := range methods {
				if last(o.OperationID) != round {
					continue
				}
				e, ok := examples[o.OperationID]
				if !ok {
					t.Errorf("%s has no example", o.OperationID)
					continue
				}
				target := wire.Prefix + e.path
				if e.path == "" {
					target = path
				}
				if a := f.try(strings.ToUpper(method), target, e.body); a.status != e.status {
					t.Errorf("%s: %s answered %d, want %d: %s", o.OperationID, a.what, a.status, e.status, a.body)
				}
			}
		}
	}
}

// try is call for answers that may not end: it reads the head only.
func (f *fixture) try(method, path string, body any) answer {
	f.t.Helper()
	return f.tryAs(method, path, body, []string{"Authorization", "Bearer " + token})
}

func (f *fixture) tryAs(method, path string, body any, headers []string) answer {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	resp, err := f.http.Do(f.request(ctx, method, path, body, headers...))
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{t: f.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode >= http.StatusBadRequest {
		var p json.RawMessage
		_ = json.NewDecoder(resp.Body).Decode(&p) // only to say more when the test fails
		a.body = p
	}
	return a
}
