package api_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/access"
	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/pack"
)

var update = flag.Bool("update", false, "write the golden files anew")

// object is what a request of the matrix is about: something of each kind in one pack.
type object struct {
	name    string // own, foreign or absent
	pack    string
	ended   string // an execution that has ended
	waiting string // one that has not
	event   string
}

// entry says how a route of the matrix is called, so that it changes nothing that another call needs: with parameters
// that do not fit, on what is in use, or on what has ended.
type entry struct {
	path string // within the API; P stands for the pack, E, W and V for the ids
	body any
}

// matrix has an entry for every route of the API.
var matrix = map[string]entry{
	"request-execution": {"/executions", `{"action":"P.echo"}`}, "list-executions": {"/executions", nil}, "show-execution": {"/executions/E", nil},
	"cancel-execution": {"/executions/E/cancel", nil}, "cancel-executions": {"/executions/cancel", `{"action":"P.echo","dry_run":true}`},
	"retry-execution": {"/executions/W/retry", nil}, "read-log": {"/executions/E/logs/stdout", nil}, "export-execution": {"/executions/E/export", nil},
	"read-logs":      {"/executions/E/logs", nil},
	"show-retention": {"/retention", nil}, "sweep-logs": {"/retention/sweep", nil},
	"stream-executions": {"/executions/stream", nil}, "stream-events": {"/events/stream", nil},
	"publish-event": {"/events", `{"trigger":"P.note","payload":{}}`}, "list-events": {"/events", nil}, "show-event": {"/events/V", nil},
	"receive-webhook": {"/webhooks/P/closed", `{}`},
	"list-queues":     {"/queues", nil}, "show-queue": {"/queues/P.slow", nil}, "pause-queue": {"/queues/P/pause", nil}, "resume-queue": {"/queues/P.slow/resume", nil},
	"drain-queue": {"/queues/P.deploy/drain", nil}, "limit-queue": {"/queues/P.slow/limit", `{"limit":1}`}, "show-queue-stats": {"/actions/P.slow/queue-stats", nil},
	"list-packs": {"/packs", nil}, "show-pack": {"/packs/P", nil}, "uninstall-pack": {"/packs/P", nil}, "show-pack-status": {"/packs/P/status", nil},
	"read-pack-log": {"/packs/P/log", nil}, "show-pack-config": {"/packs/P/config", nil}, "set-pack-config": {"/packs/P/config", `{"config":{"a":1}}`},
	"switch-pack": {"/packs/P/switch", nil}, "rollback-pack": {"/packs/P/rollback", nil}, "install-pack": {"/packs", installation},
	"list-actions": {"/actions", nil}, "show-action": {"/actions/P.echo", nil}, "list-triggers": {"/triggers", nil}, "show-trigger": {"/triggers/P.note", nil},
	"list-sensors": {"/sensors", nil}, "show-sensor": {"/sensors/P.watch", nil}, "restart-sensor": {"/sensors/P.watch/restart", nil},
	"read-sensor-log": {"/sensors/P.watch/logs", nil}, "list-rules": {"/rules", nil}, "show-rule": {"/rules/P.on-note", nil},
	"enable-rule": {"/rules/P.on-note/enable", nil}, "disable-rule": {"/rules/P.resting/disable", nil},
	"list-services": {"/services", nil}, "list-runners": {"/runners", nil}, "show-runner": {"/runners/nobody", nil},
	"list-secrets": {"/secrets", nil}, "set-named-secret": {"/secrets", `{"name":"","value":"b"}`}, "set-secret": {"/secrets/A", `{"value":""}`},
	"delete-secret": {"/secrets/NOT_THERE", nil}, "list-secret-versions": {"/secrets/NOT_THERE/versions", nil},
	"restore-secret": {"/secrets/NOT_THERE/restore", `{"version":1}`}, "rotate-secret": {"/secrets/NOT_THERE/rotate", nil},
	"show-secret-keys": {"/secret-keys", nil}, "rotate-secrets": {"/secret-keys/rotate", nil}, "change-secret-key": {"/secret-keys/change", `{"to":"none"}`},
	"list-tokens": {"/tokens", nil}, "create-token": {"/tokens", `{"name":"X"}`}, "revoke-token": {"/tokens/nobody", nil},
	"list-users": {"/users", nil}, "create-user": {"/users", `{"name":"X"}`}, "enable-user": {"/users/nobody/enable", nil}, "disable-user": {"/users/nobody/disable", nil},
	"set-rights": {"/users/nobody/rights", `{}`}, "set-password": {"/users/nobody/password", `{"password":"x"}`},
	"list-audit": {"/audit", nil}, "verify-audit": {"/audit/verify", nil},
	"show-session": {"/session", nil}, "sign-in": {"/session", `{"name":"nobody","password":"x"}`}, "sign-out": {"/session", nil},
	"exchange-code": {"/session/exchange", `{"code":"x","verifier":"x"}`},
	"show-health":   {"", nil}, "show-readiness": {"", nil},
}

// archiveOf stands for an archive of the pack, from a source that may not replace it.
type archiveOf struct{}

var installation = archiveOf{}

// pages are the routes that the description does not have, with what they demand.
var pages = map[string]string{"/docs": "anybody", "/openapi.json": "anybody", "/metrics": "view metrics, whole", "/api/v1/session/oidc/start": "nobody", "/api/v1/session/oidc/callback": "nobody"}

// globals are the routes about secrets, which here belong to no pack.
var globals = []string{"set-named-secret", "set-secret", "delete-secret", "list-secret-versions", "restore-secret", "rotate-secret"}

// visitor is somebody who calls every route.
type visitor struct {
	name   string
	header []string
	access.Principal
}

func (f *fixture) visitors() []visitor {
	f.t.Helper()
	all := []visitor{
		{name: "nobody"},
		{name: "wrong", header: []string{"Authorization", "Bearer att_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52)}},
		{name: "expired", header: f.as("expired", "admin")},
		{name: "revoked", header: f.as("revoked", "admin")},
	}
	f.call(http.MethodDelete, "/api/v1/tokens/revoked", nil)
	if _, err := f.db.Exec(f.t.Context(), `UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE name = 'expired'`); err != nil {
		f.t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		role   access.Role
		packs  []string
		grants []string
	}{
		{"viewer", access.Viewer, nil, nil},
		{"operator", access.Operator, nil, nil},
		{"editor", access.Editor, nil, nil},
		{"admin", access.Admin, nil, nil},
		{"viewer-demo", access.Viewer, []string{"demo"}, nil},
		{"operator-demo", access.Operator, []string{"demo"}, nil},
		{"editor-demo", access.Editor, []string{"demo"}, nil},
		{"sees-all-edits-demo", access.Viewer, nil, []string{"edit packs in pack demo", "operate executions in pack demo", "run actions in pack demo", "operate rules in pack demo"}},
		{"runs-demo", "", nil, []string{"run actions in pack demo"}},
		{"secrets-global", "", nil, []string{"edit secrets in global"}},
		{"elsewhere", "", nil, []string{"view triggers in pack far"}},
	} {
		v := visitor{name: c.name, header: f.as(c.name, string(c.role), within(c.packs...), granted(c.grants...))}
		if c.role != "" {
			grants, err := c.role.Grants(c.packs...)
			if err != nil {
				f.t.Fatal(err)
			}
			v.Grants = grants
		}
		for _, text := range c.grants {
			g, err := access.ParseGrant(text)
			if err != nil {
				f.t.Fatal(err)
			}
			v.Grants = append(v.Grants, g)
		}
		all = append(all, v)
	}
	return all
}

func within(packs ...string) func(*wire.NewToken) {
	return func(n *wire.NewToken) { n.Packs = packs }
}

func granted(grants ...string) func(*wire.NewToken) {
	return func(n *wire.NewToken) { n.Grants = grants }
}

// known tells visitors that have proved who they are.
func (v visitor) known() bool {
	return !slices.Contains([]string{"nobody", "wrong", "expired", "revoked"}, v.name)
}

// route is a route of the matrix.
type route struct {
	id, method, pattern, demand string
	entry
}

// expected derives from the rights alone what a visitor is answered: 401, 403, 404, or 0 for what everybody is answered
// who may do it.
func (r route) expected(v visitor, o object) int {
	text, where, _ := strings.Cut(r.demand, ", ")
	where, _, _ = strings.Cut(where, ", ") // what is a user's own is nobody's here: all visitors are tokens
	verb, kind, _ := strings.Cut(text, " ")
	right := access.Right{Verb: access.Verb(verb), Kind: access.Kind(kind)}
	switch {
	case text == "nobody":
		return 0
	case !v.known():
		return http.StatusUnauthorized
	case text == "anybody":
		return 0
	case !v.MaySomewhere(right):
		return http.StatusForbidden
	case where == "listed":
		return 0
	}
	scope, sees := access.InPack(o.pack), access.Right{Verb: access.View, Kind: right.Kind}
	if where == "whole" || slices.Contains(globals, r.id) {
		scope = access.Global
	}
	if r.id == "retry-execution" { // it is about an execution, and takes the right on its action
		sees.Kind = access.Executions
		if !v.May(sees, scope) {
			return http.StatusNotFound
		}
	}
	unseen := o.name == "absent" && slices.Contains([]string{"E", "W", "V"}, r.object())
	switch {
	case unseen:
		return http.StatusNotFound // an id that is not there belongs to no pack that a right could be had in
	case v.May(right, scope):
		return 0
	case v.May(sees, scope) || where == "whole" || r.id == "install-pack" || strings.HasPrefix(r.id, "set-") && r.id != "set-pack-config":
		return http.StatusForbidden
	}
	return http.StatusNotFound
}

// object gives what the path names by its id.
func (r route) object() string {
	if m := regexp.MustCompile(`/([EWV])(/|$)`).FindStringSubmatch(r.path); m != nil {
		return m[1]
	}
	return ""
}

func (r route) call(f *fixture, v visitor, o object) answer {
	f.t.Helper()
	fill := strings.NewReplacer("P", o.pack, "/E", "/"+o.ended, "/W", "/"+o.waiting, "/V", "/"+o.event)
	body := r.body
	switch b := body.(type) {
	case string:
		body = strings.ReplaceAll(b, `"P.`, `"`+o.pack+".")
	case archiveOf:
		name := strings.Replace(o.pack, "nope", "ties", 1) // what is not there would be, after this
		body = files{"pack.yaml": "name: " + name + "\nversion: 9.9.9\n"}.archive(f.t)
	}
	target := r.pattern
	if r.path != "" {
		target = wire.Prefix + fill.Replace(r.path)
	}
	return f.tryAs(r.method, target, body, v.header)
}

// The answer of every route to everybody, about what is his own, another's, and not there. What is expected follows
// from the rights; the golden file is for eyes.
func TestEveryRouteToEverybodyAboutEverything(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	objects := f.populate()
	routes := f.matrixRoutes()
	visitors := f.visitors()
	lines := make([]string, len(routes))
	var wg sync.WaitGroup
	room := make(chan struct{}, 4) // as many at once as keep the machine busy
	for i, r := range routes {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			lines[i] = f.line(r, visitors, objects)
		})
	}
	wg.Wait()
	header := "# What every route answers, about an object of the caller's own pack (demo) / of another pack / that is not there.\n" +
		"# Made by: go test ./services/api -run TestEveryRouteToEverybody -update\n"
	golden(t, "access.golden", header+strings.Join(lines, ""))
}

func (f *fixture) line(r route, visitors []visitor, objects []object) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s %s (%s)\n", r.method, r.pattern, r.demand)
	for _, v := range visitors {
		var codes []string
		var bodies []string
		for _, o := range objects {
			a := r.call(f, v, o)
			codes = append(codes, fmt.Sprint(a.status))
			bodies = append(bodies, anonymous(a.body, o))
			if want := r.expected(v, o); want != 0 && a.status != want || want == 0 && (a.status == 401 && r.id != "sign-in" && r.id != "exchange-code" || a.status == 403 && r.id != "receive-webhook") {
				f.t.Errorf("%s %s to %s about the %s: %d, want %d (0: anything but a refusal): %s", r.method, r.pattern, v.name, o.name, a.status, want, a.body)
			}
		}
		if r.expected(v, objects[1]) == 404 && r.expected(v, objects[2]) == 404 && bodies[1] != bodies[2] {
			f.t.Errorf("%s %s to %s tells what is another's from what is not there: %s, %s", r.method, r.pattern, v.name, bodies[1], bodies[2])
		}
		if r.entry.path == "" || !strings.ContainsAny(r.entry.path+fmt.Sprint(r.entry.body), "P") && r.object() == "" {
			codes = codes[:1]
		}
		fmt.Fprintf(&b, "  %-20s %s\n", v.name, strings.Join(codes, " / "))
	}
	return b.String()
}

// anonymous leaves out of an answer what the request had in it.
func anonymous(body []byte, o object) string {
	return strings.NewReplacer(o.pack+".", "P.", `\"`+o.pack+`\"`, `\"P\"`, o.ended, "ID", o.waiting, "ID", o.event, "ID").Replace(string(body))
}

// populate makes two packs with the same things, and a third that uses both, so that neither can go.
func (f *fixture) populate() []object {
	f.t.Helper()
	other := demo()
	other.Name = "other"
	f.define(other)
	f.define(pack.Pack{Name: "ties", Version: "1.0.0", Rules: []pack.Rule{
		{Name: "a", Trigger: "demo.note", When: "false", Action: "other.echo", Parameters: map[string]any{"message": "x"}},
		{Name: "b", Trigger: "other.note", When: "false", Action: "demo.echo", Parameters: map[string]any{"message": "x"}},
	}})
	f.withScheduler()
	f.withRecorder()
	f.eventually("the packs are known", func() bool { return f.get("/api/v1/rules/ties.a").status == http.StatusOK })
	objects := []object{{name: "own", pack: "demo"}, {name: "foreign", pack: "other"}, {name: "absent", pack: "nope", ended: newID(), waiting: newID(), event: newID()}}
	for i := range objects[:2] {
		o := &objects[i]
		run := func() string {
			return want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"`+o.pack+`.echo","parameters":{"message":"hi"}}`), http.StatusAccepted).ID
		}
		o.ended, o.waiting = run(), run()
		f.move(o.ended, "running", "succeeded")
		o.event = f.publish(`{"trigger":"` + o.pack + `.note","payload":{"host":"web1"}}`)
		f.eventually("history has caught up", func() bool {
			return want[wire.Execution](f.get("/api/v1/executions/"+o.ended), http.StatusOK).Status == "succeeded" &&
				strings.Contains(string(f.get("/api/v1/events").body), o.event)
		})
	}
	return objects
}

// matrixRoutes gives every route that is registered, and fails for one without an entry.
func (f *fixture) matrixRoutes() []route {
	f.t.Helper()
	var routes []route
	described := map[string]bool{}
	for pattern, methods := range f.document().Paths {
		for method, o := range methods {
			e, ok := matrix[o.OperationID]
			if !ok || o.Right == "" {
				f.t.Fatalf("route %s %s (%s) has no entry in the matrix, or demands nothing: %q", method, pattern, o.OperationID, o.Right)
			}
			method = strings.ToUpper(method)
			described[method+" "+pattern] = true
			routes = append(routes, route{id: o.OperationID, method: method, pattern: pattern, demand: o.Right, entry: e})
		}
	}
	err := chi.Walk(f.routes, func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		demand, page := pages[pattern]
		if page {
			routes = append(routes, route{id: pattern, method: method, pattern: pattern, demand: demand})
		} else if !described[method+" "+pattern] {
			return fmt.Errorf("%s %s has no entry in the matrix", method, pattern)
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	slices.SortFunc(routes, func(a, b route) int { return strings.Compare(a.pattern+" "+a.method, b.pattern+" "+b.method) })
	return routes
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-update writes it anew):\n%s", path, d)
	}
}
