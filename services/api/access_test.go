package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/api"
)

// as makes a token and gives the header that carries it.
func (f *fixture) as(name, role string, more ...func(*wire.NewToken)) []string {
	f.t.Helper()
	n := wire.NewToken{Name: name, Role: role}
	for _, change := range more {
		change(&n)
	}
	made := want[wire.TokenCreated](f.post("/api/v1/tokens", n), http.StatusCreated)
	return []string{"Authorization", "Bearer " + made.Text}
}

func TestATokenIsShownOnceAndKeptNowhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	made := want[wire.TokenCreated](f.post("/api/v1/tokens", `{"name":"ci","role":"operator","packs":["demo"],"grants":["view runners"],"expires":"30d"}`), http.StatusCreated)
	if !strings.HasPrefix(made.Text, "att_") || len(made.Text) != 73 || made.CreatedBy != "admin" || made.ExpiresAt == nil {
		t.Errorf("made %+v", made)
	}
	if in := time.Until(*made.ExpiresAt); in < 29*24*time.Hour || in > 30*24*time.Hour {
		t.Errorf("expires in %s", in)
	}
	list := f.get("/api/v1/tokens")
	all := want[wire.Page[wire.Token]](list, http.StatusOK).Items
	if len(all) != 1 || all[0].Name != "ci" || !slices.Equal(all[0].Packs, []string{"demo"}) || !slices.Equal(all[0].Grants, []string{"view runners"}) {
		t.Errorf("listed %+v", all)
	}
	secret := made.Text[len(made.Text)-52:]
	if strings.Contains(string(list.body), secret) || strings.Contains(string(f.get("/api/v1/audit").body), secret) || f.dumpHolds(secret) {
		t.Error("the token's text was kept")
	}
	f.post("/api/v1/tokens", `{"name":"ci","role":"viewer"}`).refused(http.StatusConflict, wire.CodeConflict)
}

// dumpHolds tells whether any of the tables about access holds a text.
func (f *fixture) dumpHolds(text string) bool {
	f.t.Helper()
	for _, table := range []string{"api_tokens", "users", "sessions", "audit"} {
		var found bool
		if err := f.db.QueryRow(f.t.Context(), `SELECT EXISTS (SELECT FROM `+table+` AS t WHERE t::text LIKE '%' || $1 || '%')`, text).Scan(&found); err != nil {
			f.t.Fatal(err)
		}
		if found {
			return true
		}
	}
	return false
}

func TestWhatNoTokenMayBeIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for body, field := range map[string]string{
		`{"name":"CI","role":"viewer"}`:                                  "name",
		`{"name":"ci"}`:                                                  "role",
		`{"name":"ci","role":"root"}`:                                    "role",
		`{"name":"ci","role":"admin","packs":["demo"]}`:                  "role",
		`{"name":"ci","role":"viewer","packs":["../x"]}`:                 "role",
		`{"name":"ci","grants":["view events","run all"]}`:               "grants[1]",
		`{"name":"ci","packs":["demo"],"grants":["view events"]}`:        "role",
		`{"name":"ci","role":"viewer","expires":"0d"}`:                   "expires",
		`{"name":"ci","role":"viewer","expires":"-5m"}`:                  "expires",
		`{"name":"ci","role":"viewer","expires":"2001-01-01T00:00:00Z"}`: "expires",
		`{"name":"ci","role":"viewer","expires":"99999999999d"}`:         "expires",
	} {
		f.post("/api/v1/tokens", body).refused(http.StatusBadRequest, wire.CodeInvalidRequest, field)
	}
}

func TestARevokedTokenIsRefusedByEveryServiceAndItsStreamsAreCut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.base
	header := f.as("watcher", "viewer")
	f.start() // a second service on the same database
	id := f.requestEcho().ID
	open := []io.Reader{
		f.open(first, "/api/v1/events/stream", header), f.open(f.base, "/api/v1/executions/stream", header),
		f.open(first, "/api/v1/executions/"+id+"/logs/stdout?follow=true", header),
	}
	want[wire.Session](f.send(http.MethodGet, "/api/v1/session", nil, header...), http.StatusOK)
	f.call(http.MethodDelete, "/api/v1/tokens/watcher", nil)
	f.eventually("the other service refuses it", func() bool {
		return f.send(http.MethodGet, "/api/v1/session", nil, header...).status == http.StatusUnauthorized
	})
	for _, r := range open {
		if _, err := io.Copy(io.Discard, r); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("stream: %v", err)
		}
	}
	f.base = first
	f.send(http.MethodGet, "/api/v1/events", nil, header...).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	f.call(http.MethodDelete, "/api/v1/tokens/watcher", nil).refused(http.StatusNotFound, wire.CodeNotFound)
	again := f.as("watcher", "viewer") // the name is free, and the old text stays dead
	want[wire.Session](f.send(http.MethodGet, "/api/v1/session", nil, again...), http.StatusOK)
	f.send(http.MethodGet, "/api/v1/events", nil, header...).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
}

// open opens a stream and gives the rest of its answer, once it has begun.
func (f *fixture) open(base, path string, header []string) io.Reader {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	f.t.Cleanup(cancel)
	req := f.request(ctx, http.MethodGet, path, nil, header...)
	u, err := req.URL.Parse(base + path)
	if err != nil {
		f.t.Fatal(err)
	}
	req.URL, req.Host = u, u.Host
	resp, err := f.http.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		f.t.Fatalf("%s answered %d", path, resp.StatusCode)
	}
	return bufio.NewReader(resp.Body)
}

func TestAnExpiredTokenIsRefusedAndItsStreamIsCut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	header := f.as("brief", "viewer", func(n *wire.NewToken) { n.Expires = "2s" })
	stream := f.open(f.base, "/api/v1/events/stream", header)
	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Errorf("stream: %v", err)
	}
	f.send(http.MethodGet, "/api/v1/events", nil, header...).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	if all := want[wire.Page[wire.Token]](f.get("/api/v1/tokens"), http.StatusOK).Items; len(all) != 1 || !all[0].Expired {
		t.Errorf("listed %+v", all)
	}
	f.as("brief", "viewer") // the expired one does not keep the name
}

func TestTokensWorkOnWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	header := f.as("ci", "operator")
	f.link.Cut()
	want[wire.ExecutionAccepted](f.send(http.MethodPost, "/api/v1/executions", `{"action":"demo.echo","parameters":{"message":"hi"}}`, header...), http.StatusAccepted)
	f.post("/api/v1/tokens", `{"name":"b","role":"viewer"}`).refused(http.StatusServiceUnavailable, wire.CodeDatabaseDown)
	f.link.Restore()
	f.eventually("it is ready again", func() bool { return f.get("/readyz").status == http.StatusOK })
}

// What is asked for by somebody is recorded as asked for by him.
func TestWhatATokenDoesNamesIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRecorder()
	header := f.as("ci", "operator")
	done := want[wire.ExecutionAccepted](f.send(http.MethodPost, "/api/v1/executions", `{"action":"demo.slow"}`, header...), http.StatusAccepted)
	want[wire.Execution](f.send(http.MethodPost, "/api/v1/executions/"+done.ID+"/cancel", nil, header...), http.StatusAccepted)
	f.eventually("history has it", func() bool {
		x := want[wire.Execution](f.get("/api/v1/executions/"+done.ID), http.StatusOK)
		return x.RequestedBy == "token:ci" && x.CanceledBy == "token:ci"
	})
	key := []string{"Idempotency-Key", "k1"}
	mine := want[wire.ExecutionAccepted](f.send(http.MethodPost, "/api/v1/executions", `{"action":"demo.slow"}`, append(header, key...)...), http.StatusAccepted)
	others := want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.slow"}`, key...), http.StatusAccepted)
	if mine.ID == others.ID {
		t.Error("one caller's key gave another's execution")
	}
}

func (f *fixture) auditRows(query string) []wire.AuditEntry {
	f.t.Helper()
	return want[wire.Page[wire.AuditEntry]](f.get("/api/v1/audit?"+query), http.StatusOK).Items
}

func TestWhoChangedWhatIsInTheAudit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	editor, viewer := f.as("ed", "editor"), f.as("vi", "viewer")
	want[wire.Rule](f.send(http.MethodPost, "/api/v1/rules/demo.on-note/disable", nil, editor...), http.StatusOK)
	want[wire.Secret](f.send(http.MethodPut, "/api/v1/secrets/CANARY", `{"value":"canary-value-1"}`, editor...), http.StatusOK)
	want[wire.QueueStats](f.send(http.MethodPost, "/api/v1/queues/demo.slow/pause", nil, editor...), http.StatusOK)
	f.send(http.MethodPost, "/api/v1/rules/demo.on-note/enable", nil, viewer...).refused(http.StatusForbidden, wire.CodeForbidden)
	f.send(http.MethodPost, "/api/v1/rules/demo.nope/enable", nil, editor...).refused(http.StatusNotFound, wire.CodeNotFound)
	f.send(http.MethodPost, "/api/v1/rules/demo.on-note/enable", nil, "Authorization", "Bearer att_wrong").refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	f.send(http.MethodGet, "/api/v1/rules", nil, "Authorization", "Bearer att_wrong").refused(http.StatusUnauthorized, wire.CodeUnauthorized)

	type line struct{ Actor, Action, Object, Outcome, Detail, Before, After string }
	var got []line
	rows := f.auditRows("limit=100")
	slices.Reverse(rows)
	for _, r := range rows {
		if r.Address != "127.0.0.1" || r.Request == "" && r.Action != "x" {
			t.Errorf("row %+v", r)
		}
		l := line{r.Actor, r.Action, r.Object, r.Outcome, r.Detail, string(r.Before), string(r.After)}
		if slices.Contains([]string{"create-token", "pause-queue", "set-secret"}, r.Action) {
			l.Before, l.After = "", "" // they hold times
		}
		got = append(got, l)
	}
	if d := cmp.Diff([]line{
		{"admin", "create-token", "ed", "done", "", "", ""},
		{"admin", "create-token", "vi", "done", "", "", ""},
		{"token:ed", "disable-rule", "demo.on-note", "done", "", `{"enabled":true}`, `{"enabled":false}`},
		{"token:ed", "set-secret", "CANARY", "done", "", "", ""},
		{"token:ed", "pause-queue", "demo.slow", "done", "", "", ""},
		{"token:vi", "enable-rule", "demo.on-note", "refused", "forbidden", "", ""},
		{"token:ed", "enable-rule", "demo.nope", "refused", "not_found", "", ""},
		{"", "authenticate", "POST /rules/demo.on-note/enable", "refused", "unauthorized", "", ""},
	}, got); d != "" {
		t.Error(d)
	}
	if f.dumpHolds("canary-value-1") {
		t.Error("the secret's value is in the audit")
	}
	if rows := f.auditRows("object=CANARY&actor=token:ed"); len(rows) != 1 || rows[0].Kind != "secrets" {
		t.Errorf("filtered: %+v", rows)
	}
	f.send(http.MethodGet, "/api/v1/audit", nil, editor...).refused(http.StatusForbidden, wire.CodeForbidden)
}

// What cannot be written to the audit is not done.
func TestWithoutTheAuditNothingIsChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.db.Exec(t.Context(), `ALTER TABLE audit RENAME TO audit_gone`); err != nil {
		t.Fatal(err)
	}
	a := f.post("/api/v1/rules/demo.on-note/disable", nil)
	if a.status < http.StatusInternalServerError {
		t.Errorf("answered %d: %s", a.status, a.body)
	}
	if !want[wire.Rule](f.get("/api/v1/rules/demo.on-note"), http.StatusOK).Enabled {
		t.Error("the rule was changed")
	}
	// What must be possible without PostgreSQL is done, and said in the log.
	if q := want[wire.QueueStats](f.post("/api/v1/queues/demo.slow/pause", nil), http.StatusOK); !q.Paused {
		t.Errorf("queue %+v", q)
	}
	if !strings.Contains(string(f.get("/metrics").body), "attune_audit_lost_total 1") {
		t.Error("it is not counted")
	}
}

func TestTheAuditIsVerifiedAgainstTheHeadOnTheBus(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.as("a", "viewer")
	f.as("b", "viewer")
	report := want[wire.AuditReport](f.get("/api/v1/audit/verify"), http.StatusOK)
	if !report.OK || report.Rows != 4 {
		t.Errorf("%+v", report)
	}
	f.eventually("the head is on the bus", func() bool {
		kv, err := f.bus.JS.KeyValue(t.Context(), "AUDIT")
		if err != nil {
			return false
		}
		e, err := kv.Get(t.Context(), "head")
		return err == nil && strings.Contains(string(e.Value()), `"seq":4`)
	})
	if _, err := f.db.Exec(t.Context(), `ALTER TABLE audit DISABLE TRIGGER append_only; DELETE FROM audit WHERE seq > 2`); err != nil {
		t.Fatal(err)
	}
	cut := want[wire.AuditReport](f.get("/api/v1/audit/verify"), http.StatusOK)
	if cut.OK || len(cut.Faults) != 1 || cut.Faults[0].Seq != 4 {
		t.Errorf("cut off: %+v", cut)
	}
	noted := want[wire.AuditReport](f.get("/api/v1/audit/verify?expect="+report.Head), http.StatusOK)
	if noted.OK || len(noted.Faults) != 1 {
		t.Errorf("by a noted head: %+v", noted)
	}
	f.get("/api/v1/audit/verify?expect=4").refused(http.StatusBadRequest, wire.CodeInvalidRequest, "expect")
}

// browser is a client that keeps cookies. The tests' service speaks plain HTTP on loopback, where browsers take
// cookies that are Secure and Go's jar does not, so the test carries it.
type browser struct {
	f      *fixture
	cookie *http.Cookie
}

func (b *browser) do(method, path string, body any, headers ...string) answer {
	b.f.t.Helper()
	if b.cookie != nil {
		headers = append(headers, "Cookie", b.cookie.Name+"="+b.cookie.Value)
	}
	a := b.f.send(method, path, body, headers...)
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		b.cookie = c
	}
	return a
}

func TestAUserSignsInAndOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want[wire.User](f.post("/api/v1/users", `{"name":"ann","password":"correct horse battery","role":"operator"}`), http.StatusCreated)
	if f.dumpHolds("correct horse") {
		t.Error("the password was kept")
	}
	b := &browser{f: f}
	own := []string{"Origin", f.base, "Sec-Fetch-Site", "same-origin"}
	b.do(http.MethodPost, "/api/v1/session", `{"name":"ann","password":"wrong horse battery"}`, own...).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	b.do(http.MethodPost, "/api/v1/session", `{"name":"bob","password":"correct horse battery"}`, own...).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	b.do(http.MethodPost, "/api/v1/session", `{"name":"ann","password":"correct horse battery"}`, "Sec-Fetch-Site", "cross-site").refused(http.StatusForbidden, wire.CodeCrossOrigin)
	s := want[wire.Session](b.do(http.MethodPost, "/api/v1/session", `{"name":"ann","password":"correct horse battery"}`, own...), http.StatusOK)
	if s.Principal != "user:ann" || b.cookie == nil {
		t.Fatalf("session %+v, cookie %v", s, b.cookie)
	}
	if c := b.cookie; c.Name != "__Host-attune" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %+v", c)
	}
	if f.dumpHolds(b.cookie.Value[len(b.cookie.Value)-52:]) {
		t.Error("the session's text was kept")
	}
	done := want[wire.ExecutionAccepted](b.do(http.MethodPost, "/api/v1/executions", `{"action":"demo.slow"}`, own...), http.StatusAccepted)
	if x := want[wire.Execution](b.do(http.MethodGet, "/api/v1/executions/"+done.ID, nil), http.StatusOK); x.RequestedBy != "user:ann" {
		t.Errorf("requested by %s", x.RequestedBy)
	}
	old := *b.cookie
	if a := b.do(http.MethodDelete, "/api/v1/session", nil, own...); a.status != http.StatusNoContent || b.cookie.MaxAge >= 0 {
		t.Errorf("sign out answered %d, cookie %+v", a.status, b.cookie)
	}
	b.cookie = &old
	b.do(http.MethodGet, "/api/v1/session", nil).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
}

// With a cookie, which browsers send by themselves, nothing is changed that one of our pages did not ask for.
func TestACookieAloneChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want[wire.User](f.post("/api/v1/users", `{"name":"ann","password":"correct horse battery","role":"admin"}`), http.StatusCreated)
	b := &browser{f: f}
	want[wire.Session](b.do(http.MethodPost, "/api/v1/session", `{"name":"ann","password":"correct horse battery"}`), http.StatusOK)
	for name, headers := range map[string][]string{
		"from nowhere":              nil,
		"from another site":         {"Sec-Fetch-Site", "cross-site"},
		"from a sister site":        {"Sec-Fetch-Site", "same-site"},
		"from another origin":       {"Origin", "https://evil.example"},
		"from an unknown origin":    {"Origin", "null"},
		"from another port":         {"Origin", "http://127.0.0.1:1"},
		"by a form":                 {"Content-Type", "text/plain", "Origin", "https://evil.example"},
		"with a cookie given twice": {"Sec-Fetch-Site", "same-origin", "Cookie", "__Host-attune=x"},
	} {
		a := b.do(http.MethodPost, "/api/v1/executions", `{"action":"demo.slow"}`, headers...)
		if a.status != http.StatusForbidden && a.status != http.StatusUnauthorized {
			t.Errorf("%s: answered %d", name, a.status)
		}
	}
	want[wire.Page[wire.Action]](b.do(http.MethodGet, "/api/v1/actions", nil), http.StatusOK)
}

func TestAUsersSessionsEndWithWhatTheyWereOpenedBy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want[wire.User](f.post("/api/v1/users", `{"name":"ann","password":"correct horse battery","role":"viewer"}`), http.StatusCreated)
	signIn := func(password string) *browser {
		b := &browser{f: f}
		want[wire.Session](b.do(http.MethodPost, "/api/v1/session", `{"name":"ann","password":"`+password+`"}`), http.StatusOK)
		return b
	}
	b := signIn("correct horse battery")
	want[wire.User](f.post("/api/v1/users/ann/rights", `{"role":"operator"}`), http.StatusOK)
	if s := want[wire.Session](b.do(http.MethodGet, "/api/v1/session", nil), http.StatusOK); !slices.Contains(s.Grants, "run actions") {
		t.Errorf("new rights do not hold at once: %v", s.Grants)
	}
	want[wire.User](f.post("/api/v1/users/ann/password", `{"password":"another horse battery"}`), http.StatusOK)
	b.do(http.MethodGet, "/api/v1/session", nil).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	b = signIn("another horse battery")
	want[wire.User](f.post("/api/v1/users/ann/disable", nil), http.StatusOK)
	b.do(http.MethodGet, "/api/v1/session", nil).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	f.send(http.MethodPost, "/api/v1/session", `{"name":"ann","password":"another horse battery"}`).refused(http.StatusUnauthorized, wire.CodeUnauthorized)
	want[wire.User](f.post("/api/v1/users/ann/enable", nil), http.StatusOK)
	signIn("another horse battery")
	f.post("/api/v1/users/bob/disable", nil).refused(http.StatusNotFound, wire.CodeNotFound)
	f.post("/api/v1/users", `{"name":"bob","password":"short","role":"viewer"}`).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "password")
	f.post("/api/v1/users", `{"name":"ann","role":"viewer"}`).refused(http.StatusConflict, wire.CodeConflict)
}

func TestWrongCredentialsAreLimitedAndRightOnesAreNot(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.FailureBurst, c.SignInBurst = 3, 2 })
	var last answer
	f.eventually("wrong tokens are limited", func() bool {
		last = f.send(http.MethodGet, "/api/v1/actions", nil, "Authorization", "Bearer att_wrong")
		return last.status == http.StatusTooManyRequests
	})
	last.refused(http.StatusTooManyRequests, wire.CodeRateLimited)
	if last.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	want[wire.Page[wire.Action]](f.get("/api/v1/actions"), http.StatusOK)
	f.eventually("passwords are limited", func() bool {
		last = f.send(http.MethodPost, "/api/v1/session", `{"name":"ann","password":"guess"}`)
		return last.status == http.StatusTooManyRequests
	})
	last.refused(http.StatusTooManyRequests, wire.CodeRateLimited)
	if last.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestATokenMayMakeOnlySoManyRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.RequestRate = 1 })
	header := f.as("ci", "viewer")
	f.eventually("it is limited", func() bool {
		a := f.send(http.MethodGet, "/api/v1/actions", nil, header...)
		return a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != ""
	})
	for range 10 {
		want[wire.Page[wire.Action]](f.get("/api/v1/actions"), http.StatusOK) // the administrator is not
	}
}
