package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/services/api"
	"github.com/attune/attune/streams"
)

// replica is another process of the service, with the same NATS and database.
func (f *fixture) replica() *fixture {
	f.t.Helper()
	other := *f
	other.start()
	return &other
}

// running requests an execution that runs, with a writer for its log.
func (f *fixture) running(l logs.Limits) (id string, w *logs.Writer) {
	f.t.Helper()
	id = f.requestEcho().ID
	f.move(id, streams.Running)
	store, err := logs.Open(f.t.Context(), logs.Config{Bus: f.bus})
	if err != nil {
		f.t.Fatal(err)
	}
	if w, err = store.NewWriter(id, logs.Source{}, l); err != nil {
		f.t.Fatal(err)
	}
	return id, w
}

func (f *fixture) close(w *logs.Writer) {
	f.t.Helper()
	if _, err := w.Close(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// numbered is text in which every place looks different.
func numbered(n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "line at %d\n", b.Len())
	}
	return b.String()[:n]
}

func (f *fixture) ranged(path, header string, more ...string) answer {
	f.t.Helper()
	return f.call(http.MethodGet, path, nil, append([]string{"Range", header}, more...)...)
}

func TestRangesOfALogAreTheSameFromEveryReplicaLiveAndStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	replicas := []*fixture{f, f.replica()}
	const segment, size = logs.MinSegmentBytes, 3*logs.MinSegmentBytes + 1000
	id, w := f.running(logs.Limits{SegmentBytes: segment})
	path, text := "/api/v1/executions/"+id+"/logs/stdout", numbered(size)
	say(t, w.Stdout(), text)
	f.eventually("all of it is there", func() bool {
		return f.call(http.MethodHead, path, nil).header.Get("Content-Length") == fmt.Sprint(size)
	})
	check := func(total string) {
		t.Helper()
		for header, want := range map[string][2]int{
			"bytes=0-": {0, size}, "bytes=5-9": {5, 10}, fmt.Sprintf("bytes=%d-%d", segment-3, segment+2): {segment - 3, segment + 3},
			"bytes=-7": {size - 7, size}, fmt.Sprintf("bytes=%d-%d", 2*segment, size+5): {2 * segment, size},
		} {
			for _, r := range replicas {
				a := r.ranged(path, header)
				named := fmt.Sprintf("bytes %d-%d/%s", want[0], want[1]-1, total)
				if a.status != http.StatusPartialContent || string(a.body) != text[want[0]:want[1]] || a.header.Get("Content-Range") != named ||
					a.header.Get(wire.HeaderOffset) != fmt.Sprint(want[0]) || a.header.Get("Accept-Ranges") != "bytes" {
					t.Errorf("%s: %d %q, %d bytes; want %q", header, a.status, a.header.Get("Content-Range"), len(a.body), named)
				}
			}
		}
		for _, header := range []string{"bytes=0-1,5-9", "lines=1-2", "bytes=9-1"} {
			if a := f.ranged(path, header); a.status != http.StatusOK || string(a.body) != text {
				t.Errorf("%s: %d, %d bytes", header, a.status, len(a.body))
			}
		}
		for _, header := range []string{fmt.Sprintf("bytes=%d-", size), "bytes=1000000000000000000-", "bytes=-0"} {
			a := f.ranged(path, header)
			a.refused(http.StatusRequestedRangeNotSatisfiable, wire.CodeNoSuchRange)
			if got, want := a.header.Get("Content-Range"), fmt.Sprintf("bytes */%d", size); got != want {
				t.Errorf("%s: %q, want %q", header, got, want)
			}
		}
	}
	check("*")
	f.close(w)
	f.move(id, streams.Succeeded)
	check(fmt.Sprint(size))
	head := replicas[1].call(http.MethodHead, path, nil)
	tag := head.header.Get("ETag")
	if head.status != http.StatusOK || len(head.body) > 0 || head.header.Get("Content-Length") != fmt.Sprint(size) || tag == "" {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
	if a := f.ranged(path, "bytes=5-9", "If-Range", tag); a.status != http.StatusPartialContent || a.header.Get("ETag") != tag {
		t.Errorf("by the tag: %d %v", a.status, a.header)
	}
	for _, other := range []string{`"x"`, "W/" + tag, time.Now().UTC().Format(http.TimeFormat)} {
		if a := f.ranged(path, "bytes=5-9", "If-Range", other); a.status != http.StatusOK || len(a.body) != size {
			t.Errorf("if it were %s: %d, %d bytes", other, a.status, len(a.body))
		}
	}
	if a := f.ranged(path+"?offset=4", "bytes=5-9"); a.status != http.StatusOK || string(a.body) != text[4:] {
		t.Errorf("a range of a part: %d, %d bytes", a.status, len(a.body))
	}
}

// A log that is followed from somewhere has no end yet, and who comes back later goes on in the same place.
func TestAFollowedRangeGoesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, w := f.running(logs.Limits{})
	path := "/api/v1/executions/" + id + "/logs/stdout?follow=true"
	say(t, w.Stdout(), "one\ntwo\n")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := f.http.Do(f.request(ctx, http.MethodGet, path, nil, "Authorization", "Bearer "+token, "Range", "bytes=4-"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent || resp.Header.Get("Content-Range") != "bytes 4-9007199254740991/*" {
		t.Errorf("answered %d %v", resp.StatusCode, resp.Header)
	}
	ahead := make(chan answer, 1)
	go func() { ahead <- f.ranged(path, "bytes=8-12") }() // nothing of which is there
	if text := make([]byte, 4); true {
		if _, err := io.ReadFull(resp.Body, text); err != nil || string(text) != "two\n" {
			t.Fatalf("%q, %v", text, err)
		}
	}
	say(t, w.Stdout(), "three\nfour\n")
	if a := <-ahead; string(a.body) != "three" || a.header.Get("Content-Range") != "bytes 8-12/*" {
		t.Errorf("%d %q %v", a.status, a.body, a.header)
	}
	f.close(w)
	f.move(id, streams.Succeeded)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "three\nfour\n" {
		t.Errorf("%q, %v", rest, err)
	}
	if a := f.ranged(path, "bytes=14-"); a.status != http.StatusPartialContent || string(a.body) != "four\n" || a.header.Get("Content-Range") != "bytes 14-18/19" {
		t.Errorf("%d %q %v", a.status, a.body, a.header)
	}
}

func TestOnlyTheSegmentsThatAreNeededAreFetched(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, w := f.running(logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	say(t, w.Stdout(), numbered(8*logs.MinSegmentBytes))
	f.close(w)
	f.move(id, streams.Succeeded)
	var fetched atomic.Int32 // of objects that are in chunks: each is read by a consumer
	sub, err := f.bus.Conn.Subscribe("$JS.API.CONSUMER.CREATE.OBJ_LOGS.>", func(*nats.Msg) { fetched.Add(1) })
	if err == nil {
		err = f.bus.Conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	path := "/api/v1/executions/" + id + "/logs/stdout"
	count := func(ask func()) int32 {
		before := fetched.Load()
		ask()
		if err := f.bus.Conn.Flush(); err != nil {
			t.Fatal(err)
		}
		return fetched.Load() - before
	}
	manifest := count(func() { f.call(http.MethodHead, path, nil) })
	for header, segments := range map[string]int32{"bytes=70000-70010": 1, "bytes=65530-65540": 2, "bytes=-5": 1, "bytes=131072-262143": 2} {
		got := count(func() {
			if a := f.ranged(path, header); a.status != http.StatusPartialContent {
				t.Errorf("%s: %d", header, a.status)
			}
		})
		if want := 2*manifest + segments; got != want { // the manifest tells the length, and where to read
			t.Errorf("%s: %d objects, want %d segments and twice the manifest", header, got, segments)
		}
	}
}

// What is lost takes its place, so that what follows keeps its own, and whoever asks for records is told.
func TestADamagedSegmentIsSaidToBeMissingAndTheRestIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const segment = logs.MinSegmentBytes
	id, w := f.running(logs.Limits{SegmentBytes: segment})
	text := numbered(3*segment + 10)
	say(t, w.Stdout(), text)
	say(t, w.Stderr(), "fine\n")
	f.close(w)
	f.move(id, streams.Succeeded)
	f.alter(id + "/stdout.0001.zst")
	path := "/api/v1/executions/" + id + "/logs"
	a := f.get(path + "/stdout")
	line := fmt.Sprintf("[attune: bytes %d to %d are missing]", segment, 2*segment-1)
	want := text[:segment] + line + strings.Repeat(" ", segment-len(line)-1) + "\n" + text[2*segment:]
	if a.status != http.StatusOK || string(a.body) != want {
		t.Errorf("%d, %d bytes, want %d", a.status, len(a.body), len(want))
	}
	if a := f.ranged(path+"/stdout", fmt.Sprintf("bytes=%d-%d", 2*segment-5, 2*segment+4)); string(a.body) != "[att"+"\n"+text[2*segment:2*segment+5] && string(a.body) != "[attu"+text[2*segment:2*segment+5] {
		t.Errorf("across the end of what is missing: %q", a.body)
	}
	var missing []wire.LogRecord
	var got strings.Builder
	for _, r := range f.records(path) {
		if r.Missing > 0 {
			missing = append(missing, r)
		} else if r.Stream == "stdout" {
			got.Write(r.Bytes())
		}
	}
	if len(missing) != 1 || missing[0].Offset != segment || missing[0].Missing != segment || got.String() != text[:segment]+text[2*segment:] {
		t.Errorf("missing %+v, got %d bytes", missing, got.Len())
	}
	if a := f.get(path); !strings.Contains(string(a.body), fmt.Sprintf("[attune: bytes %d to %d of stdout are missing]\n", segment, 2*segment-1)) {
		t.Error("the text does not say what is missing")
	}
}

// alter changes a byte of a chunk of an object.
func (f *fixture) alter(object string) {
	f.t.Helper()
	store, err := f.bus.JS.ObjectStore(f.t.Context(), streams.ObjectsLogs)
	if err != nil {
		f.t.Fatal(err)
	}
	data, err := store.GetBytes(f.t.Context(), object)
	if err != nil {
		f.t.Fatal(err)
	}
	data[len(data)/3] ^= 0x55
	info, err := store.GetInfo(f.t.Context(), object)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.bus.PutObject(f.t.Context(), streams.ObjectsLogs, jetstream.ObjectMeta{Name: object, Metadata: info.Metadata}, data); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) records(path string) (all []wire.LogRecord) {
	f.t.Helper()
	a := f.call(http.MethodGet, path, nil, "Accept", "application/jsonl")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/jsonl" {
		f.t.Fatalf("%s: %d as %s: %s", path, a.status, a.header.Get("Content-Type"), a.body)
	}
	for line := range bytes.Lines(a.body) {
		var r wire.LogRecord
		if err := json.Unmarshal(line, &r); err != nil {
			f.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, r)
	}
	return all
}

func (f *fixture) listenLog(path string, headers ...string) *listener {
	return f.listen(path, append(headers, "Accept", "text/event-stream")...)
}

func TestStreamsAreReadTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, w := f.running(logs.Limits{})
	path := "/api/v1/executions/" + id + "/logs"
	l := f.listenLog(path + "?follow=true").started()
	said := []struct{ stream, text string }{{"stdout", "one\n"}, {"stderr", "two\xff\n"}, {"stdout", "three\n"}, {"stderr", "four"}}
	var ids []string
	for _, s := range said {
		out := w.Stdout()
		if s.stream == "stderr" {
			out = w.Stderr()
		}
		say(t, out, s.text)
		e := l.next()
		var r wire.LogRecord
		if err := json.Unmarshal([]byte(e.data), &r); err != nil || e.name != wire.StreamedLog || r.Stream != s.stream || string(r.Bytes()) != s.text || r.Time.IsZero() {
			t.Fatalf("got %+v, want %q: %v", e, s, err)
		}
		ids = append(ids, e.id)
	}
	check := func() {
		t.Helper()
		for query, want := range map[string]string{
			"": "one\ntwo\xff\nthree\nfour", "?stream=stderr": "two\xff\nfour", "?tail=2": "three\nfour", "?tail=3&grep=o": "two\xff\nfour",
			"?grep=^t": "two\xff\nthree\n", "?stdout=4&stderr=5": "three\nfour", "?since=1h": "one\ntwo\xff\nthree\nfour", "?since=2100-01-01T00:00:00Z": "",
			"?stdout=1000000000000000000&stderr=1000000000000000000": "",
		} {
			if a := f.get(path + query); a.status != http.StatusOK || string(a.body) != want || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%q: %d %q, want %q", query, a.status, a.body, want)
			}
		}
		for i, r := range f.records(path) {
			if s := said[i]; r.Stream != s.stream || string(r.Bytes()) != s.text || (r.Data != nil) != (i == 1) {
				t.Errorf("record %d: %+v, want %q", i, r, s)
			}
		}
	}
	f.alternatingIsThere(path, 17)
	check()
	f.close(w)
	f.move(id, streams.Succeeded)
	if e := l.next(); e.name != wire.StreamedLogEnd || e.id != "stdout:10,stderr:9" {
		t.Errorf("ended with %+v", e)
	}
	check()
	for i, last := range ids { // behind each of them comes the rest, whatever the query says of where to begin
		l := f.listenLog(path+"?tail=1&since=0s", "Last-Event-ID", last).started()
		for _, s := range said[i+1:] {
			if e := l.next(); !strings.Contains(e.data, s.stream) {
				t.Errorf("behind %s: %+v, want %q", last, e, s)
			}
		}
		if e := l.next(); e.name != wire.StreamedLogEnd {
			t.Errorf("behind %s the end is %+v", last, e)
		}
	}
	if a := f.call(http.MethodHead, path, nil); a.status != http.StatusOK || len(a.body) > 0 {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
}

// alternatingIsThere waits until so many bytes can be read.
func (f *fixture) alternatingIsThere(path string, n int) {
	f.t.Helper()
	f.eventually("what was followed can be read", func() bool { return len(f.get(path).body) >= n })
}

func TestLogsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, w := f.running(logs.Limits{})
	say(t, w.Stdout(), "x\n")
	f.close(w)
	f.move(id, streams.Succeeded)
	path := "/api/v1/executions/" + id + "/logs"
	for query, field := range map[string]string{
		"?tail=-1": "tail", "?tail=100001": "tail", "?since=yesterday": "since", "?since=-1h": "since", "?grep=(": "grep", "?grep=(x{30}){300}": "grep",
		"?grep=" + strings.Repeat("x", 1001): "grep", "?stdout=-1": "stdout", "?stderr=1e18": "stderr", "?stream=both": "stream", "?lines=1": "lines",
		"?grep=(x%7B1000%7D)%7B1000%7D": "grep",
		"/stdout?since=x":               "since", "/stdout?grep=[": "grep", "/stdout?offset=1000000000000000000000000000000": "offset", "/" + strings.Repeat("x", 10_000): "stream",
	} {
		f.get(path+query).refused(http.StatusBadRequest, wire.CodeInvalidRequest, field)
	}
	for _, stream := range []string{"..%2fsecret", "%2e%2e%2fstdout", "std%00out", "%ff", "stdout/", "../../../tokens"} {
		f.get(path+"/"+stream).refused(http.StatusNotFound, wire.CodeNotFound)
	}
	for _, last := range []string{"1", "stdout:1", "stdout:-1,stderr:0", "stdout:1,stderr:2,x"} {
		f.call(http.MethodGet, path, nil, "Last-Event-ID", last).refused(http.StatusBadRequest, wire.CodeInvalidRequest, "Last-Event-ID")
	}
	f.call(http.MethodGet, path, nil, "Accept", "text/html").refused(http.StatusNotAcceptable, wire.CodeNotAcceptable)
	f.get("/api/v1/executions/"+newID()+"/logs").refused(http.StatusNotFound, wire.CodeNotFound)
}

// Who does not read is dropped; who does, and what writes, do not notice.
func TestAFollowerThatDoesNotReadIsDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.SlowClient = 2 * time.Second })
	id, w := f.running(logs.Limits{StreamBytes: 64 << 20})
	var paths []string
	for _, path := range []string{"/logs/stdout?follow=true", "/logs?follow=true", "/logs?follow=true&grep=x"} {
		paths = append(paths, "/api/v1/executions/"+id+path)
	}
	for _, path := range paths {
		slow, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if err := f.request(t.Context(), http.MethodGet, path, nil, "Authorization", "Bearer "+token).Write(slow); err != nil {
			t.Fatal(err)
		}
	}
	f.eventually("all are served", func() bool { return f.openStreams() == fmt.Sprint(len(paths)) })
	good := make(chan answer, 1)
	go func() { good <- f.get(paths[0]) }()
	text := strings.Repeat(strings.Repeat("x", 1023)+"\n", 16<<10)
	for part := range slices.Chunk([]byte(text), 1<<20) {
		say(t, w.Stdout(), string(part))
	}
	f.eventually("the slow ones are gone", func() bool { return f.openStreams() == "1" })
	f.close(w)
	f.move(id, streams.Succeeded)
	if a := <-good; string(a.body) != text {
		t.Errorf("who read got %d bytes of %d", len(a.body), len(text))
	}
}
