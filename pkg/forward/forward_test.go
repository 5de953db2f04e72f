package forward_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/forward"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

const patience = time.Minute

// fixture is an installation's bus, seen by everybody and by the recorder, which may do less.
type fixture struct {
	*bus.Bus
	recorder *bus.Bus
	metrics  *prometheus.Registry // of the last forwarder
	said     *said
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s := natstest.Start(t)
	recorder, err := bus.Connect(t.Context(), bus.Config{
		URL: s.URL(), CredsFile: filepath.Join(s.UsersDir(), streams.UserRecorder+".creds"), Name: streams.ConnectionName(streams.UserRecorder), FailFast: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(recorder.Close)
	return &fixture{Bus: natstest.Connect(t, s), recorder: recorder, said: &said{}}
}

// start runs a forwarder and gives what stops it and waits.
func (f *fixture) start(t *testing.T, target string) (stop func()) {
	t.Helper()
	return f.startTo(t, forward.Destination{Target: target})
}

func (f *fixture) startTo(t *testing.T, d forward.Destination) (stop func()) {
	t.Helper()
	f.metrics = prometheus.NewRegistry()
	fw, err := forward.New(forward.Config{Bus: f.recorder, Destination: d, Logger: slog.New(slog.NewTextHandler(f.said, nil)), Registerer: f.metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fw.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("forwarder: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// metric is the value of one of the last forwarder.
func (f *fixture) metric(t testing.TB, name string) float64 {
	t.Helper()
	all, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == "attune_log_forward_"+name {
			return m.GetMetric()[0].GetCounter().GetValue() + m.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// said is what was logged.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), what)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	give := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-give:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// say publishes a chunk of stdout as a runner does.
func (f *fixture) say(t *testing.T, id string, offset int, text string, last bool) {
	t.Helper()
	subject, err := streams.LogSubject(id, logs.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg(subject)
	m.Data = []byte(text)
	m.Header.Set(streams.HeaderOffset, strconv.Itoa(offset))
	m.Header.Set(streams.HeaderTime, "2026-01-02T03:04:05.6Z")
	if last {
		m.Header.Set(streams.HeaderEnd, "true")
	}
	if _, err := f.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// print writes the output of an execution through a runner's writer.
func (f *fixture) print(t *testing.T, id string, stdout, stderr []byte) {
	t.Helper()
	f.printOf(t, id, logs.Source{}, stdout, stderr)
}

func (f *fixture) printOf(t *testing.T, id string, of logs.Source, stdout, stderr []byte) {
	t.Helper()
	store, err := logs.Open(t.Context(), logs.Config{Bus: f.Bus, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	w, err := store.NewWriter(id, of, logs.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{write(w.Stdout(), stdout), write(w.Stderr(), stderr)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func write(w io.Writer, p []byte) error {
	_, err := w.Write(p)
	return err
}

// numbered is output of about so many bytes whose lines differ.
func numbered(size int) []byte {
	var b []byte
	for n := 0; len(b) < size; n++ {
		b = fmt.Appendf(b, "line %d, %s\n", n, strings.Repeat("é", 7*n%900))
	}
	return append(b, "no newline"...)
}

// book puts streams together again from records. A record may come again, but none may be left out on the way.
type book struct {
	mu    sync.Mutex
	text  map[string][]byte
	again int // records that had come before
	fault error
}

func (b *book) enter(stream string, offset int64, text []byte, partial bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.text == nil {
		b.text = map[string][]byte{}
	}
	have := b.text[stream]
	if offset > int64(len(have)) {
		b.fault = fmt.Errorf("%s: offset %d comes after %d bytes", stream, offset, len(have))
		return
	}
	if text = append(bytes.Clone(text), '\n'); partial {
		text = text[:len(text)-1]
	}
	if again := have[offset:]; !bytes.HasPrefix(text, again[:min(len(text), len(again))]) {
		b.fault = fmt.Errorf("%s: offset %d is another the second time", stream, offset)
	}
	if end := offset + int64(len(text)); end > int64(len(have)) {
		b.text[stream] = append(have[:offset], text...)
	} else {
		b.again++
	}
}

// repeated counts the records that had come before.
func (b *book) repeated() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.again
}

// has tells whether a stream is there. The record of a last line without a newline looks like that of one with it.
func (b *book) has(t *testing.T, stream string, want []byte) bool {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault != nil {
		t.Fatal(b.fault)
	}
	return string(bytes.TrimSuffix(b.text[stream], []byte{'\n'})) == string(bytes.TrimSuffix(want, []byte{'\n'}))
}

// collector is a receiver of OpenTelemetry logs. It answers first what troubles say, and keeps what it takes.
type collector struct {
	book
	*httptest.Server
	requests atomic.Int64
	sources  sync.Map                         // of each log: whose the records say it is, a set
	trouble  atomic.Pointer[http.HandlerFunc] // answers in its place
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) target() string { return "otlp+" + c.URL }

func (c *collector) troubled(h http.HandlerFunc) { c.trouble.Store(&h) }

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer c.requests.Add(1)
	if h := c.trouble.Load(); h != nil && *h != nil {
		(*h)(w, r)
		return
	}
	if err := c.take(r); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
	}
}

// take reads a request and keeps what is in it.
func (c *collector) take(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	var data logspb.LogsData
	if err = errors.Join(err, proto.Unmarshal(body, &data)); err != nil {
		return err
	}
	if r.URL.Path != "/v1/logs" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return errors.New(r.Method + " " + r.URL.Path)
	}
	for _, l := range data.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords() {
		c.keep(l)
	}
	return nil
}

func (c *collector) keep(l *logspb.LogRecord) {
	a := map[string]*common.AnyValue{}
	for _, kv := range l.GetAttributes() {
		a[kv.GetKey()] = kv.GetValue()
	}
	text := l.GetBody().GetBytesValue()
	if text == nil {
		text = []byte(l.GetBody().GetStringValue())
	}
	id := a["attune.execution_id"].GetStringValue() + a["attune.log_id"].GetStringValue()
	for _, key := range []string{"attune.action", "attune.sensor", "attune.pack"} {
		if v, ok := a[key]; ok {
			c.sources.Store(id+" "+key+"="+v.GetStringValue(), true)
		}
	}
	c.enter(id+"/"+a["log.iostream"].GetStringValue(), a["attune.offset"].GetIntValue(), text, a["attune.partial"].GetBoolValue())
}

func answer(status int, after string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
	}
}

// A receiver that is away in every way there is delays, and nothing else; nor does a forwarder that is stopped in the
// middle of it and followed by another.
func TestEveryLineReachesAReceiverThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	want := map[string][]byte{}
	more := func() {
		for range 2 {
			id := execution.NewID()
			want[id+"/stdout"], want[id+"/stderr"] = numbered(100<<10), []byte("short\n\xff\x00\n")
			f.print(t, id, want[id+"/stdout"], want[id+"/stderr"])
		}
	}
	more()
	hangUp := func(w http.ResponseWriter, r *http.Request) { // it has taken what it never says it has
		if err := c.take(r); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	}
	stop := func() {}
	busy := make(chan time.Time, 100)
	later := func(w http.ResponseWriter, r *http.Request) {
		select {
		case busy <- time.Now():
		default:
		}
		answer(429, "1")(w, r)
	}
	for _, h := range []http.HandlerFunc{answer(503, "0"), later, answer(500, ""), hangUp} {
		stop()
		c.troubled(h)
		stop = f.start(t, c.target())
		seen := c.requests.Load()
		eventually(t, "the receiver is asked again", func() bool { return c.requests.Load() >= seen+2 })
	}
	if first := <-busy; (<-busy).Sub(first) < time.Second {
		t.Error("the receiver was asked again before it wanted to be")
	}
	more()
	if n := f.metric(t, "errors_total"); n == 0 {
		t.Error("no failure is counted")
	}
	c.troubled(nil)
	eventually(t, "the forwarder gets on", func() bool { return f.metric(t, "records_total") > 0 })
	stop()
	more()
	f.start(t, c.target())
	for stream, text := range want {
		eventually(t, stream+" has come", func() bool { return c.has(t, stream, text) })
	}
	eventually(t, "nothing waits", func() bool { return f.metric(t, "lag") == 0 && f.unread(t) == 0 })
	if n := f.said.count("not forwarded for now"); n != 4 {
		t.Errorf("%d warnings of 4 forwarders that failed", n)
	}
	if n := f.metric(t, "dropped_total") + f.metric(t, "refused_total"); n != 0 {
		t.Errorf("%v are said to be gone", n)
	}
}

// unread is how many messages of LOGS were not acknowledged.
func (f *fixture) unread(t *testing.T) uint64 {
	t.Helper()
	c, err := f.JS.Consumer(t.Context(), streams.Logs, streams.ConsumerForward)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().NumPending + uint64(c.CachedInfo().NumAckPending)
}

// A line whose end does not come is sent, and goes on with what comes.
func TestAnUnfinishedLineIsNotHeldForEver(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	f.say(t, "install-1", 0, "half a ", false)
	f.start(t, c.target())
	eventually(t, "it has come", func() bool { return c.has(t, "install-1/stdout", []byte("half a ")) })
	f.say(t, "install-1", 7, "line\n", true)
	eventually(t, "its end has come", func() bool { return c.has(t, "install-1/stdout", []byte("half a line\n")) })
}

// What a receiver will never take is counted and holds up nothing.
func TestARecordThatIsRefusedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	c.troubled(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || bytes.Contains(body, []byte("poison")) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := c.take(r); err != nil {
			t.Error(err)
		}
		if bytes.Contains(body, []byte("unloved")) {
			inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
			if _, err := w.Write(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)); err != nil {
				t.Error(err)
			}
		}
	})
	f.say(t, "a", 0, "one\n", true)
	f.say(t, "b", 0, "poison\n", true)
	f.say(t, "c", 0, "unloved\n", true)
	f.say(t, "d", 0, "two\n", true)
	f.start(t, c.target())
	eventually(t, "the others have come", func() bool { return c.has(t, "a/stdout", []byte("one")) && c.has(t, "d/stdout", []byte("two")) })
	eventually(t, "two are counted as refused", func() bool { return f.metric(t, "refused_total") == 2 && f.metric(t, "records_total") == 2 })
	eventually(t, "nothing waits", func() bool { return f.unread(t) == 0 })
	if c.has(t, "b/stdout", []byte("poison")) {
		t.Error("what was refused is there")
	}
}

// What LOGS does not hold any more when the receiver comes back is counted.
func TestWhatWasDroppedMeanwhileIsCounted(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	f.say(t, "a", 0, "one\n", false)
	stop := f.start(t, c.target())
	eventually(t, "the first has come", func() bool { return c.has(t, "a/stdout", []byte("one\n")) && f.unread(t) == 0 })
	stop()
	eventually(t, "nobody asks for messages", func() bool {
		consumer, err := f.JS.Consumer(t.Context(), streams.Logs, streams.ConsumerForward)
		return err == nil && consumer.CachedInfo().NumWaiting == 0
	})
	for n := range 5 {
		f.say(t, "b", 2*n, "x\n", false)
	}
	stream, err := f.JS.Stream(t.Context(), streams.Logs)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 1
	if _, err := f.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	f.say(t, "a", 4, "two\n", true)
	stop = f.start(t, c.target())
	eventually(t, "the last has come", func() bool { return c.has(t, "a/stdout", []byte("one\ntwo\n")) })
	if n := f.metric(t, "dropped_total"); n != 5 {
		t.Errorf("%v are counted", n)
	}
	stop()
	if err := forward.Remove(t.Context(), f.JS); err != nil {
		t.Fatal(err)
	}
	f.start(t, c.target())
	eventually(t, "what there is has come to who begins now", func() bool { return f.metric(t, "records_total") > 0 })
	if n := f.metric(t, "dropped_total"); n != 0 {
		t.Errorf("%v of the time before are counted", n)
	}
}

// What is no output is passed over.
func TestMessagesThatAreNoOutputHoldUpNothing(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	for _, subject := range []string{"attune.log.a.stdout", "attune.log.a"} {
		if _, err := f.JS.Publish(t.Context(), subject, []byte("hello\n")); err != nil {
			t.Fatal(err)
		}
	}
	strange := nats.NewMsg("attune.log.\xff.stdout")
	strange.Header.Set(streams.HeaderOffset, "0")
	strange.Data = []byte("hello\n")
	if _, err := f.JS.PublishMsg(t.Context(), strange); err != nil {
		t.Fatal(err)
	}
	f.say(t, "b", 0, "one\n", true)
	f.start(t, c.target())
	eventually(t, "the output has come", func() bool { return c.has(t, "b/stdout", []byte("one")) && f.unread(t) == 0 })
	if n := f.metric(t, "refused_total"); n != 3 {
		t.Errorf("%v are counted", n)
	}
}

func TestFilesAreRotatedAndReadable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	target := "file://" + dir + "?max_bytes=1048576&keep=20"
	id := execution.NewID()
	text := numbered(2200 << 10)
	text = append(text, "\n\xff\n<&>\n"...)
	f.print(t, id, text, nil)
	f.start(t, target)()
	stop := f.start(t, target)
	eventually(t, "a file is full", func() bool {
		_, err := os.Stat(filepath.Join(dir, "attune.jsonl.1"))
		return err == nil
	})
	stop()
	tear(t, filepath.Join(dir, "attune.jsonl"))
	f.start(t, target)
	eventually(t, "nothing waits", func() bool { return f.unread(t) == 0 })

	var b book
	names := oldestFirst(t, dir)
	for _, name := range names {
		enterFile(t, &b, name)
	}
	if len(names) < 3 || !b.has(t, id+"/stdout", text) {
		t.Errorf("%d files with %d bytes of %d", len(names), len(b.text[id+"/stdout"]), len(text))
	}
	if out, err := exec.CommandContext(t.Context(), "jq", append([]string{"-c", "[.execution_id, .stream, .offset, .time, .text // .data]"}, names...)...).Output(); err != nil {
		t.Errorf("jq: %v", err)
	} else if !bytes.Contains(out, []byte(`["`+id+`","stdout",0,"`)) || !bytes.Contains(out, []byte(`"<&>"]`)) {
		t.Errorf("jq: %.200s", out)
	}
}

// tear leaves a file as a crash in the middle of a line does.
func tear(t *testing.T, name string) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(file, []byte(`{"execution_id":"`+strings.Repeat("x", 100<<10))), file.Close()); err != nil {
		t.Fatal(err)
	}
}

func oldestFirst(t *testing.T, dir string) (names []string) {
	t.Helper()
	for n := 1; ; n++ {
		name := filepath.Join(dir, "attune.jsonl."+strconv.Itoa(n))
		info, err := os.Stat(name)
		if err != nil {
			break
		}
		if info.Size() > 1<<20 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
		names = append([]string{name}, names...)
	}
	return append(names, filepath.Join(dir, "attune.jsonl"))
}

func enterFile(t *testing.T, b *book, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var r struct {
			ID      string `json:"execution_id"`
			Stream  string
			Offset  int64
			Text    string
			Data    []byte
			Partial bool
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v: %.100s", name, err, line)
		}
		b.enter(r.ID+"/"+r.Stream, r.Offset, append([]byte(r.Text), r.Data...), r.Partial)
	}
}

func TestNoMoreFilesAreKeptThanWereAskedFor(t *testing.T) {
	t.Parallel()
	for keep, want := range map[int][]string{0: {"attune.jsonl"}, 1: {"attune.jsonl", "attune.jsonl.1"}} {
		t.Run(strconv.Itoa(keep), func(t *testing.T) {
			t.Parallel()
			f, dir := newFixture(t), t.TempDir()
			f.print(t, execution.NewID(), numbered(2200<<10), nil)
			f.start(t, fmt.Sprintf("file://%s?max_bytes=1048576&keep=%d", dir, keep))
			eventually(t, "nothing waits", func() bool { return f.metric(t, "records_total") > 0 && f.unread(t) == 0 })
			var names []string
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if diff := cmp.Diff(want, names); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A folder that cannot be written to is one that is away.
func TestAFolderMayComeLater(t *testing.T) {
	t.Parallel()
	f, dir := newFixture(t), t.TempDir()
	blocked := filepath.Join(dir, "logs")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.say(t, "a", 0, "one\n", true)
	f.start(t, "file://"+blocked)
	eventually(t, "it is tried again", func() bool { return f.metric(t, "errors_total") > 1 && f.metric(t, "lag") > 0 })
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing waits", func() bool { return f.unread(t) == 0 })
	data, err := os.ReadFile(filepath.Join(blocked, "attune.jsonl"))
	const want = `{"log_id":"a","stream":"stdout","offset":0,"time":"2026-01-02T03:04:05.6Z","text":"one"}` + "\n"
	if string(data) != want || err != nil {
		t.Errorf("%s, %v", data, err)
	}
	if f.said.count("not forwarded for now") != 1 || f.said.count("forwarded again") != 1 {
		t.Error("it is not said once that output waits, and once that it goes on")
	}
}

func TestTheConsumerIsRemovedOnceNothingIsForwarded(t *testing.T) {
	t.Parallel()
	f, c := newFixture(t), newCollector(t)
	f.say(t, "a", 0, "one\n", true)
	stop := f.start(t, c.target())
	eventually(t, "it has come", func() bool { return c.has(t, "a/stdout", []byte("one")) })
	stop()
	for range 2 { // the second finds nothing
		if err := forward.Remove(t.Context(), f.recorder.JS); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.JS.Consumer(t.Context(), streams.Logs, streams.ConsumerForward); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Error(err)
	}
}
