package builtin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/builtin"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/natsserver/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// line is an event as a sensor writes it.
type line struct {
	Trigger string
	ID      string
	Time    *time.Time
	Payload map[string]any
}

// sensor is one that runs.
type sensor struct {
	lines <-chan line
	log   *log
	stop  func()
}

// log keeps what a sensor says.
type log struct {
	mu   sync.Mutex // guards the fields below
	text strings.Builder
	more chan struct{} // closed, and made anew, when there is more
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(p)
}

// await returns what the parentheses of a pattern matched in what the sensor says.
func (l *log) await(t *testing.T, pattern string) string {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		found, more := regexp.MustCompile(pattern).FindStringSubmatch(l.text.String()), l.more
		l.mu.Unlock()
		if found != nil {
			return found[1]
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("it does not say %s", pattern)
		}
	}
}

// start runs a sensor that is stopped when the test ends.
func start(t *testing.T, name, dir string, config any, secrets map[string]string) *sensor {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	s := &sensor{log: &log{more: make(chan struct{})}}
	var running sync.WaitGroup
	running.Go(func() {
		err := builtin.Run(ctx, name, dir, stdin(t, config, secrets), w, s.log)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = w.Close()
	})
	lines := make(chan line, 1000)
	running.Go(func() {
		in := bufio.NewScanner(r)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			var l line
			if err := json.Unmarshal(in.Bytes(), &l); err != nil {
				t.Errorf("%s: %v", in.Text(), err)
			}
			lines <- l
		}
	})
	s.lines, s.stop = lines, sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(s.stop)
	return s
}

func stdin(t *testing.T, config any, secrets map[string]string) io.Reader {
	t.Helper()
	text, err := json.Marshal(map[string]any{"sensor": map[string]any{}, "config": config, "secrets": secrets, "rules": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReader(string(text))
}

func (s *sensor) next(t *testing.T) line {
	t.Helper()
	select {
	case l := <-s.lines:
		return l
	case <-time.After(patience):
		t.Fatal("no event comes")
		return line{}
	}
}

// want reads the next event and compares parts of it.
func (s *sensor) want(t *testing.T, trigger string, payload map[string]any) line {
	t.Helper()
	l := s.next(t)
	for name, want := range payload {
		if fmt.Sprint(l.Payload[name]) != fmt.Sprint(want) {
			t.Errorf("%s of %s is %v, want %v: %v", name, l.Trigger, l.Payload[name], want, l.Payload)
		}
	}
	if l.Trigger != trigger {
		t.Errorf("trigger %s, want %s", l.Trigger, trigger)
	}
	return l
}

func TestWrongConfigurationsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, config, says string }{
		{"none", `{}`, "want one of files, httppoll, nats, postgres, syslog"},
		{"files", `{}`, "paths is empty"},
		{"files", `{"paths":["x"]}`, `"x" is not an absolute path`},
		{"files", `{"paths":["/x"],"settle":"soon"}`, `"soon": want a time`},
		{"files", `{"paths":["/x"],"setle":"1s"}`, `unknown field "setle"`},
		{"files", `{"paths":["/does/not/exist/*"]}`, "watch /does/not/exist"},
		{"httppoll", `{}`, "pages is empty"},
		{"httppoll", `{"pages":[{"url":"ftp://x"}]}`, `"ftp://x" is not http`},
		{"nats", `{}`, "url and subject are needed"},
		{"nats", `{"url":"nats://x","subject":"a","stream":"S"}`, "go together"},
		{"postgres", `{}`, "channels, and url"},
		{"postgres", `{"url":"postgres://u:hunter2@h:x/d","channels":["a"]}`, "url is not one of PostgreSQL"},
		{"syslog", `{}`, "udp or tcp is needed"},
		{"syslog", `{"udp":":0","severity":"loud"}`, `"loud" is none of`},
	} {
		err := builtin.Run(t.Context(), c.name, t.TempDir(), strings.NewReader(`{"config":`+c.config+`}`), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s %s: %v", c.name, c.config, err)
		}
	}
	if err := builtin.Run(t.Context(), "files", ".", strings.NewReader("["), io.Discard, io.Discard); err == nil {
		t.Error("input that is none was taken")
	}
}

func TestAFolderStandsForTheFilesInIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, "files", t.TempDir(), map[string]any{"paths": []string{dir}, "settle": "50ms"}, nil)
	s.log.await(t, "(watching)")
	file := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(t, "changed", map[string]any{"event": "create", "path": file})
}

func TestFilesAreReportedOnceTheyRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(file("old.csv"), "old")
	s := start(t, "files", t.TempDir(), map[string]any{"paths": []string{dir + "/**/*.csv"}, "settle": "50ms"}, nil)
	s.log.await(t, "(watching)")
	put(file("a.csv"), "1")
	put(file("a.txt"), "1")
	put(file("a.csv"), "12")
	if l := s.want(t, "changed", map[string]any{"event": "create", "path": file("a.csv"), "name": "a.csv", "folder": dir, "size": 2}); l.ID == "" {
		t.Error("a file without an id")
	}
	put(file("old.csv"), "newer")
	s.want(t, "changed", map[string]any{"event": "write", "path": file("old.csv"), "size": 5})
	if err := os.MkdirAll(file("deep", "er"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(file("deep", "er", "b.csv"), "b")
	s.want(t, "changed", map[string]any{"event": "create", "path": file("deep", "er", "b.csv")})
	if err := errors.Join(os.Rename(file("a.csv"), file("c.csv")), nil); err != nil {
		t.Fatal(err)
	}
	s.want(t, "changed", map[string]any{"event": "rename", "path": file("a.csv")})
	s.want(t, "changed", map[string]any{"event": "create", "path": file("c.csv")})
	if err := os.Remove(file("c.csv")); err != nil {
		t.Fatal(err)
	}
	s.want(t, "changed", map[string]any{"event": "remove", "path": file("c.csv"), "size": nil})
}

// web is a server whose page a test can change.
type web struct {
	body        atomic.Value
	asked       atomic.Int64
	conditional atomic.Int64
}

func (w *web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	body, _ := w.body.Load().(string)
	if r.Header.Get("Authorization") != "Bearer x" || body == "" {
		http.Error(out, "no", http.StatusServiceUnavailable)
		return
	}
	tag := fmt.Sprintf("%q", body)
	if r.Header.Get("If-None-Match") == tag {
		w.conditional.Add(1)
		out.WriteHeader(http.StatusNotModified)
		return
	}
	out.Header().Set("ETag", tag)
	_, _ = io.WriteString(out, body)
}

func TestPagesAreReportedWhenTheyChange(t *testing.T) {
	t.Parallel()
	w := &web{}
	w.body.Store(`{"version":{"a/b":[1,2]},"noise":1}`)
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	config := map[string]any{"interval": "100ms", "pages": []any{map[string]any{"url": server.URL, "authorization": true, "pointer": "/version/a~1b/1"}}}
	secrets, dir := map[string]string{"HTTPPOLL_AUTHORIZATION": "Bearer x"}, t.TempDir()
	s := start(t, "httppoll", dir, config, secrets)
	until(t, func() bool { return w.conditional.Load() > 0 })
	w.body.Store(`{"version":{"a/b":[1,2]},"noise":2}`) // not the part that counts
	was := w.conditional.Load()
	until(t, func() bool { return w.conditional.Load() > was })
	w.body.Store(`{"version":{"a/b":[1,{"v":3.10}]}}`)
	s.want(t, "changed", map[string]any{"url": server.URL, "status": 200, "content": map[string]any{"v": 3.1}, "pointer": "/version/a~1b/1"})
	w.body.Store("")
	s.want(t, "failed", map[string]any{"url": server.URL, "error": "status 503"})
	was = w.asked.Load()
	until(t, func() bool { return w.asked.Load() > was+1 })
	s.stop()
	w.body.Store(`{"version":{"a/b":[1,4]}}`) // while it does not run
	again := start(t, "httppoll", dir, config, secrets)
	again.want(t, "changed", map[string]any{"content": 4})
	if len(s.lines)+len(again.lines) != 0 {
		t.Error("more was reported than changed")
	}
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	late, look := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-late:
			t.Fatal("it does not happen")
		}
	}
}

func TestMessagesOfASubjectAreReported(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	b := natstest.Connect(t, server)
	creds, err := os.ReadFile(server.CredsFile())
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"NATS_SENSOR_CREDS": string(creds)}
	plain := start(t, "nats", t.TempDir(), map[string]any{"url": server.URL(), "subject": "orders.>"}, secrets)
	plain.log.await(t, "(connected)")
	m := nats.NewMsg("orders.new")
	m.Data, m.Header = []byte(`{"n":1}`), nats.Header{"X": {"y"}}
	until(t, func() bool { // once the subscription is there
		if err := b.Conn.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		return len(plain.lines) > 0
	})
	plain.want(t, "message", map[string]any{"subject": "orders.new", "data": map[string]any{"n": 1}, "headers": map[string]any{"X": []any{"y"}}})

	if _, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.*"}}); err != nil {
		t.Fatal(err)
	}
	durable := map[string]any{"url": server.URL(), "subject": "jobs.*", "stream": "JOBS", "durable": "attune"}
	first := start(t, "nats", t.TempDir(), durable, secrets)
	until(t, func() bool {
		_, err := b.JS.Consumer(t.Context(), "JOBS", "attune")
		return err == nil
	})
	publish := func(text string) {
		t.Helper()
		if _, err := b.JS.Publish(t.Context(), "jobs.a", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	publish("one")
	if l := first.want(t, "message", map[string]any{"data": "one", "sequence": 1, "stream": "JOBS"}); l.ID == "" || l.Time == nil {
		t.Errorf("event %+v", l)
	}
	until(t, func() bool {
		c, err := b.JS.Consumer(t.Context(), "JOBS", "attune")
		return err == nil && c.CachedInfo().AckFloor.Stream == 1
	})
	first.stop()
	publish("two")
	start(t, "nats", t.TempDir(), durable, secrets).want(t, "message", map[string]any{"data": "two", "sequence": 2})
}

func TestNotificationsAreReportedAndABrokenConnectionToo(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	url := db.Config().ConnString()
	s := start(t, "postgres", t.TempDir(), map[string]any{"channels": []string{"Orders", "other"}}, map[string]string{"POSTGRES_SENSOR_URL": url})
	s.log.await(t, "(listening)")
	notify := func(channel, text string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), "SELECT pg_notify($1, $2)", channel, text); err != nil {
			t.Fatal(err)
		}
	}
	notify("Orders", `{"n":1}`)
	s.want(t, "notification", map[string]any{"channel": "Orders", "payload": map[string]any{"n": 1}})
	notify("other", "plain")
	l := s.want(t, "notification", map[string]any{"channel": "other", "payload": "plain"})
	if l.Payload["pid"] == nil {
		t.Errorf("event %+v", l)
	}
	tag, err := db.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN \"o%'")
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("%v, %v", tag, err)
	}
	if l := s.want(t, "reconnected", map[string]any{"channels": []any{"Orders", "other"}}); l.Payload["since"] == nil {
		t.Errorf("event %+v", l)
	}
	notify("other", "again")
	s.want(t, "notification", map[string]any{"payload": "again"})
}

func TestSyslogIsReceived(t *testing.T) {
	t.Parallel()
	s := start(t, "syslog", t.TempDir(), map[string]any{"udp": "127.0.0.1:0", "tcp": "127.0.0.1:0", "severity": "warning", "timezone": "Europe/Berlin"}, nil)
	udp, tcp := s.log.await(t, `udp (\S+)`), s.log.await(t, `tcp (\S+)`)
	send := func(network, address, text string) {
		t.Helper()
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	send("udp", udp, `<165>1 2026-01-02T03:04:05.5Z web1 app 7 ID1 [x@1 k="v"] not severe enough`)
	send("udp", udp, `<131>1 2026-01-02T03:04:05.5Z web1 app 7 ID1 [x@1 k="v"] disk full`)
	l := s.want(t, "message", map[string]any{
		"format": "rfc5424", "message": "disk full", "severity": "error", "facility": 16, "hostname": "web1", "app": "app", "process": "7",
		"message_id": "ID1", "structured_data": map[string]any{"x@1": map[string]any{"k": "v"}},
	})
	if l.Time == nil || !l.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC)) || l.Payload["source"] == nil {
		t.Errorf("event %+v", l)
	}
	send("udp", udp, "<34>Oct 11 22:14:15 mymachine su: 'su root' failed\n")
	l = s.want(t, "message", map[string]any{"format": "rfc3164", "hostname": "mymachine", "app": "su", "severity": "critical"})
	if l.Time == nil || l.Time.Hour() != 20 {
		t.Errorf("event %+v", l)
	}
	send("udp", udp, "no syslog at all")
	s.want(t, "message", map[string]any{"format": "unknown", "message": "no syslog at all"})
	send("tcp", tcp, "<33>Oct 11 22:14:15 h a: one\n<33>Oct 11 22:14:15 h a: two\n")
	s.want(t, "message", map[string]any{"message": "one"})
	s.want(t, "message", map[string]any{"message": "two"})
	counted := "<33>1 - h a - - - of\ntwo lines"
	send("tcp", tcp, fmt.Sprintf("%d %s%d %s", len(counted), counted, len(counted), counted))
	s.want(t, "message", map[string]any{"message": "of\ntwo lines"})
	s.want(t, "message", map[string]any{"message": "of\ntwo lines"})
	send("tcp", tcp, strings.Repeat("x", 100_000))
	s.log.await(t, "(a line is longer than 65536 bytes)")
	logger(t, s, udp, "-d")
	logger(t, s, tcp, "-T")
}

// logger sends a message with the program of that name, where there is one.
func logger(t *testing.T, s *sensor, address, protocol string) {
	t.Helper()
	program, err := exec.LookPath("logger")
	if err != nil {
		t.Log("no logger on this machine")
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-n", host, "-P", port, protocol, "-p", "user.err", "-t", "probe", "hello"+protocol).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.want(t, "message", map[string]any{"app": "probe", "message": "hello" + protocol, "severity": "error"})
}
