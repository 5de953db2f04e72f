package api_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	wire "github.com/attune/attune/pkg/api"
)

// hostileBodies are bodies that no route may take, nor fall over.
func hostileBodies() map[string]string {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	return map[string]string{
		"nothing": "", "half an object": `{"`, "a list": `[]`, "a text": `"x"`, "null": `null`, "a number": `1`,
		"duplicate keys": `{"name":"a","name":"b","action":"demo.echo","action":"demo.slow","value":"a","value":"b"}`,
		"case variants":  `{"Name":"a","ACTION":"demo.echo","Value":"x"}`,
		"unknown keys":   `{"__proto__":{"admin":true}}`,
		"10,000 deep":    `{"name":` + deep + `,"action":` + deep + `}`, "10,000 deep, and nothing else": deep,
		"invalid UTF-8": "{\"name\":\"\xff\xfe\",\"action\":\"\xff\"}", "a lone surrogate": `{"name":"\ud800","action":"\ud800"}`,
		"two documents": `{} {}`, "a huge number": `{"limit":1e999999999,"name":1e999999999}`, "not a number": `{"limit":NaN,"name":NaN}`,
		"a mebibyte of spaces": strings.Repeat(" ", 3<<20), "a text of three mebibytes": `{"name":"` + strings.Repeat("a", 3<<20) + `"}`,
		"a comment": `{/**/}`, "a byte order mark": "\ufeff{}",
	}
}

// Whatever is sent to whatever route is answered with a code that stays, and never with an error of the inside.
func TestHostileBodiesAreRefusedByEveryRoute(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for pattern, methods := range f.document().Paths {
		for method, o := range methods {
			if _, reads := o.RequestBody.Content["application/json"]; !reads || o.OperationID == "receive-webhook" {
				continue
			}
			target := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(pattern, "nobody")
			for name, body := range hostileBodies() {
				a := f.call(strings.ToUpper(method), target, body)
				var p wire.Problem
				err := json.Unmarshal(a.body, &p)
				optional := a.status < 300 // a body that may be left out, or of which all may be
				if !optional && (err != nil || a.status >= 500 && p.Code != wire.CodeSchedulerDown || p.Code == "" || p.Code == wire.CodeInternal) {
					t.Errorf("%s %s with %s: %d %.300s", method, pattern, name, a.status, a.body)
				}
				if optional && !strings.Contains("nothing null", name) {
					t.Errorf("%s %s takes %s: %d %.300s", method, pattern, name, a.status, a.body)
				}
			}
		}
	}
}

// Names that mean something to file systems, subjects, SQL or shells mean nothing here.
func TestHostileNamesNameNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	names := []string{
		"..", ".", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%252e%252e", "a%00b", "%ff", "demo.ec%68o", "demo.есho", "DEMO.ECHO", "demo.echo.", ".demo", "demo..echo",
		"demo.>", "*", ">", "$JS.API.STREAM.LIST", "'; DROP TABLE audit; --", "$(id)", strings.Repeat("a", 200), "-1", "1e18", "_all.x", "demo.echo%0d%0aSet-Cookie:%20x=1",
	}
	for pattern, methods := range f.document().Paths {
		for method, o := range methods {
			if !strings.Contains(pattern, "{") || o.OperationID == "set-secret" {
				continue
			}
			for _, name := range names {
				segment := name
				if !strings.Contains(name, "%") {
					segment = url.PathEscape(name)
				}
				a := f.raw(strings.ToUpper(method), regexp.MustCompile(`\{\w+\}`).ReplaceAllString(pattern, segment), `{"password":"0123456789ab"}`)
				if a.status < 400 || a.status >= 500 || a.header.Get("Set-Cookie") != "" {
					t.Errorf("%s %s of %q: %d %.300s", method, pattern, name, a.status, a.body)
				}
			}
		}
	}
	for _, list := range []string{"events?trigger=", "executions?action=", "executions?rule=", "rules?trigger=", "audit?actor=", "audit?object=", "packs?cursor=", "queues?cursor="} {
		for _, name := range []string{"%00", "a%00b", "%ff", "%27%3b--", "%e2%80%ae"} {
			if a := f.get("/api/v1/" + list + name); a.status >= 500 && !strings.Contains(string(a.body), wire.CodeSchedulerDown) {
				t.Errorf("%s%s: %d %s", list, name, a.status, a.body)
			}
		}
	}
	f.post("/api/v1/session", `{"name":"a\u0000b","password":"x"}`).refused(http.StatusBadRequest, wire.CodeInvalidRequest)
	for _, path := range []string{"/docs/..%2f..%2fetc/passwd", "//etc/passwd", "/api/v1//executions", "/api/v1/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/../../x"} {
		if a := f.raw(http.MethodGet, path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// raw sends a path as it is, without what clients make of it.
func (f *fixture) raw(method, path, body string) answer {
	f.t.Helper()
	u, err := url.Parse(f.base)
	if err != nil {
		f.t.Fatal(err)
	}
	req := f.request(f.t.Context(), method, "/", body, "Authorization", "Bearer "+token)
	req.URL = &url.URL{Scheme: u.Scheme, Host: u.Host, Opaque: path}
	resp, err := f.http.Do(req)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{t: f.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header, body: data}
}

// A body that does not end is not waited for, nor kept.
func TestABodyThatNeverEndsIsCutOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, c := range map[string]struct {
		path, media string
	}{
		"json": {"/api/v1/executions", "application/json"}, "event": {"/api/v1/events", "application/json"}, "webhook": {"/api/v1/webhooks/demo/open", "application/json"},
	} {
		conn := f.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", c.path, token, c.media)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			chunk := []byte("10000\r\n" + strings.Repeat(" ", 0x10000) + "\r\n")
			for range 4096 { // a quarter of a gibibyte, unless the server closes before
				if _, err := conn.Write(chunk); err != nil {
					return
				}
			}
			t.Errorf("%s: all was taken", name)
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			if resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: answered %d", name, resp.StatusCode)
			}
			resp.Body.Close()
		} else if !isReset(err) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
		<-sent
	}
}

// isReset tells that a connection was closed while we were still sending.
func isReset(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (f *fixture) dial() net.Conn {
	f.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(f.t.Context(), "tcp", strings.TrimPrefix(f.base, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		f.t.Fatal(err)
	}
	return conn
}

func TestHeadersThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.get("/api/v1/actions?pack=" + strings.Repeat("a", 100<<10))
	if a.status != http.StatusRequestHeaderFieldsTooLarge && a.status != http.StatusRequestURITooLong {
		t.Errorf("a long query: %d", a.status)
	}
	conn := f.dial()
	go func() {
		fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n")
		for {
			if _, err := fmt.Fprintf(conn, "X-More: %s\r\n", strings.Repeat("a", 1000)); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("headers without end: %d", resp.StatusCode)
	}
	if err != nil && !isReset(err) {
		t.Errorf("headers without end: %v", err)
	}
	if err == nil {
		resp.Body.Close()
	}
}

// Every page and every answer says to browsers what they may do with it.
func TestBrowsersAreToldToTrustNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/docs", "/openapi.json", "/metrics", "/healthz", "/api/v1/actions", "/api/v1/nope", "/nope"} {
		h := f.get(path).header
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	if h := f.send(http.MethodGet, "/api/v1/actions", nil).header; h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("a refusal: %v", h)
	}
}
