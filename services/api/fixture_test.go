package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/definitions"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/lifecycle"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/secret"
	"github.com/attune/attune/services/api"
	"github.com/attune/attune/services/recorder"
	"github.com/attune/attune/services/rules"
	"github.com/attune/attune/services/scheduler"
	"github.com/attune/attune/streams"
)

const (
	token    = "a token of the tests"
	patience = time.Minute
)

var quiet = slog.New(slog.DiscardHandler)

// fixture is a running service on a real NATS server and a real database.
type fixture struct {
	t       *testing.T
	bus     *bus.Bus
	db      *pgxpool.Pool
	link    *dbtest.Link
	secrets *secret.Store
	base    string
	http    *http.Client
	routes  chi.Routes
	stop    func()
}

// newFixture starts the service, with the pack demo installed.
func newFixture(t *testing.T, change ...func(*api.Config)) *fixture {
	t.Helper()
	return serve(t, natstest.New(t), change...)
}

func serve(t *testing.T, b *bus.Bus, change ...func(*api.Config)) *fixture {
	t.Helper()
	db, link := dbtest.NewLinked(t)
	f := &fixture{t: t, bus: b, db: db, link: link}
	var err error
	if f.secrets, err = secret.Open(t.Context(), db, filepath.Join(t.TempDir(), "keys", "key")); err != nil {
		t.Fatal(err)
	}
	f.define(demo())
	f.start(change...)
	return f
}

func (f *fixture) define(p pack.Pack) {
	f.t.Helper()
	_, err := definitions.New(f.db).Install(f.t.Context(), definitions.Installed{Pack: p, Digest: digestOf(p), Source: "test", By: "test"})
	if err != nil {
		f.t.Fatal(err)
	}
}

// digestOf stands for the digest of an archive where none is needed.
func digestOf(p pack.Pack) string {
	sum := sha256.Sum256([]byte(p.Name + p.Version))
	return hex.EncodeToString(sum[:])
}

func (f *fixture) start(change ...func(*api.Config)) {
	f.t.Helper()
	listener := listen(f.t)
	c := api.Config{
		Bus: f.bus, DB: f.db, Secrets: f.secrets, Listener: listener, Token: token, Version: "test", TempDir: f.t.TempDir(), Logger: quiet,
		FailureBurst: 100_000, SignInBurst: 100_000,
	}
	for _, apply := range change {
		apply(&c)
	}
	s, err := api.New(f.t.Context(), c)
	if err != nil {
		f.t.Fatal(err)
	}
	f.routes = s.Handler().(chi.Routes)
	f.base = "http://" + s.Addr().String()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	f.http = &http.Client{Transport: transport}
	f.stop = f.run("api", s)
	f.t.Cleanup(transport.CloseIdleConnections)
	f.eventually("the service is ready", func() bool { return f.get("/readyz").status == http.StatusOK })
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// run runs a service until the test ends or stop is called.
func (f *fixture) run(name string, s lifecycle.Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			f.t.Errorf("%s: %v", name, err)
		}
	}
	f.t.Cleanup(stop)
	return stop
}

func (f *fixture) withRecorder() (stop func()) {
	f.t.Helper()
	s, err := recorder.New(recorder.Config{Bus: f.bus, DB: f.db, Grace: time.Hour, Logger: quiet})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.run("recorder", s)
}

func (f *fixture) withRules() {
	f.t.Helper()
	s, err := rules.New(rules.Config{Bus: f.bus, DB: f.db, ID: "r1", Logger: quiet})
	if err != nil {
		f.t.Fatal(err)
	}
	f.run("rules", s)
}

// withScheduler starts a scheduler and waits until it leads.
func (f *fixture) withScheduler() (stop func()) {
	f.t.Helper()
	s, err := scheduler.New(scheduler.Config{Bus: f.bus, DB: f.db, Logger: quiet})
	if err != nil {
		f.t.Fatal(err)
	}
	stop = f.run("scheduler", s)
	f.eventually("a scheduler leads", func() bool { return f.get("/api/v1/queues").status == http.StatusOK })
	return stop
}

// leader answers questions about queues in the place of a scheduler. What is nil is not answered.
func (f *fixture) leader(stats func(streams.QueueRequest) streams.QueueStats, position func(streams.PositionRequest) streams.Position) {
	f.t.Helper()
	if stats != nil {
		answerWith(f, streams.RPCQueueStats, stats)
	}
	if position != nil {
		answerWith(f, streams.RPCQueuePosition, position)
	}
}

func answerWith[Q, A any](f *fixture, subject string, answer func(Q) A) {
	f.t.Helper()
	sub, err := f.bus.Conn.Subscribe(subject, func(m *nats.Msg) {
		var q Q
		if err := json.Unmarshal(m.Data, &q); err != nil {
			f.t.Errorf("%s: %v", subject, err)
		}
		data, err := json.Marshal(answer(q))
		if err := errors.Join(err, m.Respond(data)); err != nil {
			f.t.Errorf("%s: %v", subject, err)
		}
	})
	if err := errors.Join(err, f.bus.Conn.Flush()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = sub.Unsubscribe() })
}

// eventually waits until ok says true.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	give := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-give:
			f.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// answer is what came back.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

// call sends a request with the token. Headers are names and values in turn.
func (f *fixture) call(method, path string, body any, headers ...string) answer {
	f.t.Helper()
	return f.send(method, path, body, append([]string{"Authorization", "Bearer " + token}, headers...)...)
}

func (f *fixture) get(path string) answer {
	f.t.Helper()
	return f.call(http.MethodGet, path, nil)
}

func (f *fixture) post(path string, body any, headers ...string) answer {
	f.t.Helper()
	return f.call(http.MethodPost, path, body, headers...)
}

// send sends a request as it is.
func (f *fixture) send(method, path string, body any, headers ...string) answer {
	f.t.Helper()
	resp, err := f.http.Do(f.request(f.t.Context(), method, path, body, headers...))
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{t: f.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header, body: data}
}

func (f *fixture) request(ctx context.Context, method, path string, body any, headers ...string) *http.Request {
	f.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, f.base+path, reader(f.t, body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	if _, archive := body.([]byte); archive && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/zstd")
	}
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// reader gives text and bytes as they are, and anything else as JSON.
func reader(t *testing.T, body any) io.Reader {
	t.Helper()
	switch b := body.(type) {
	case nil:
		return http.NoBody
	case string:
		return strings.NewReader(b)
	case []byte:
		return bytes.NewReader(b)
	case io.Reader:
		return b
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(data)
}

// want checks the status and reads the body.
func want[T any](a answer, status int) T {
	a.t.Helper()
	var v T
	if a.status != status {
		a.t.Fatalf("%s answered %d, want %d: %s", a.what, a.status, status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("%s: %v: %s", a.what, err, a.body)
	}
	return v
}

// refused checks that the answer is a problem with that status and code, and about those fields.
func (a answer) refused(status int, code string, fields ...string) wire.Problem {
	a.t.Helper()
	p := want[wire.Problem](a, status)
	if p.Code != code || p.Status != status || p.Detail == "" || a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Errorf("%s: %s as %s, want code %s", a.what, a.body, a.header.Get("Content-Type"), code)
	}
	var named []string
	for _, e := range p.Errors {
		named = append(named, e.Field)
	}
	if fields != nil && strings.Join(named, " ") != strings.Join(fields, " ") {
		a.t.Errorf("%s: wrong are %q, want %q: %s", a.what, named, fields, a.body)
	}
	return p
}

// requestEcho requests an execution of demo.echo.
func (f *fixture) requestEcho(headers ...string) wire.ExecutionAccepted {
	f.t.Helper()
	return want[wire.ExecutionAccepted](f.post("/api/v1/executions", `{"action":"demo.echo","parameters":{"message":"hi"}}`, headers...), http.StatusAccepted)
}

// move publishes the next facts of an execution, as a runner would.
func (f *fixture) move(id string, to ...streams.Status) {
	f.t.Helper()
	facts := execution.NewFacts(f.bus.JS)
	for _, status := range to {
		st, err := facts.Find(f.t.Context(), id)
		if err != nil {
			f.t.Fatal(err)
		}
		next := st.Fact
		now := time.Now().UTC().Truncate(time.Microsecond)
		next.Status, next.At, next.Parameters, next.Runner = status, now, nil, "runner-1"
		if status == streams.Running {
			next.StartedAt = &now
		}
		if execution.Final(status) {
			next.EndedAt, next.Result = &now, json.RawMessage(`{"said":"hi"}`)
		}
		if _, err := facts.Append(f.t.Context(), st, next); err != nil {
			f.t.Fatal(err)
		}
	}
}

// count gives how many messages a stream holds.
func (f *fixture) count(stream string) uint64 {
	f.t.Helper()
	s, err := f.bus.JS.Stream(f.t.Context(), stream)
	if err != nil {
		f.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func newID() string { return uuid.NewString() }

// demo is a pack with something of everything.
func demo() pack.Pack {
	off := false
	return pack.Pack{
		Name: "demo", Version: "1.0.0", Description: "for tests",
		Actions: []pack.Action{
			{
				Name: "echo", Runtime: "shell", EntryPoint: "echo.sh",
				Parameters: json.RawMessage(`{"type":"object","properties":{"message":{"type":"string"},"count":{"type":"integer","default":1,"minimum":1},
					"mode":{"enum":["loud","quiet"]}},"required":["message"],"additionalProperties":false}`),
			},
			{Name: "deploy", Runtime: "shell", EntryPoint: "deploy.sh", Concurrency: pack.Concurrency{Limit: 1, Key: "params.repo"}},
			{Name: "slow", Runtime: "shell", EntryPoint: "slow.sh", Concurrency: pack.Concurrency{Limit: 1}},
		},
		Triggers: []pack.Trigger{
			{Name: "note", Payload: json.RawMessage(`{"type":"object","properties":{"host":{"type":"string"}},"required":["host"]}`)},
			{Name: "github", Webhook: &pack.Webhook{Scheme: "github", Secret: "GH"}},
			{Name: "gitlab", Webhook: &pack.Webhook{Scheme: "gitlab", Secrets: []string{"NEXT", "GH"}}},
			{Name: "stripe", Webhook: &pack.Webhook{Scheme: "stripe", Secret: "GH"}},
			{Name: "slack", Webhook: &pack.Webhook{Scheme: "slack", Secret: "GH"}},
			{Name: "signed", Webhook: &pack.Webhook{Scheme: "hmac", Secret: "GH"}},
			{Name: "bearer", Webhook: &pack.Webhook{Scheme: "bearer", Secret: "GH"}},
			{Name: "unset", Webhook: &pack.Webhook{Scheme: "bearer", Secret: "NOT_THERE"}},
			{Name: "open", Webhook: &pack.Webhook{Scheme: "none", AllowUnauthenticated: true}},
			{Name: "closed", Webhook: &pack.Webhook{Scheme: "none"}},
			{Name: "tick", Timer: &pack.Timer{Every: pack.Duration(time.Hour)}},
		},
		Sensors: []pack.Sensor{{Name: "watch", Runtime: "shell", EntryPoint: "watch.sh", Triggers: []string{"note"}}},
		Rules: []pack.Rule{
			{Name: "on-note", Trigger: "note", When: `event.payload.host == "web1"`, Action: "echo", Parameters: map[string]any{"message": "${{ event.payload.host }}"}},
			{Name: "resting", Trigger: "note", Action: "slow", Enabled: &off},
		},
	}
}
