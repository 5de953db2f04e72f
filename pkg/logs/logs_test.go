package logs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "0192f0c1-0000-7000-8000-000000000001"

func open(t testing.TB, b *bus.Bus) *logs.Store {
	t.Helper()
	s, err := logs.Open(t.Context(), logs.Config{Bus: b, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWriter(t testing.TB, s *logs.Store, l logs.Limits) *logs.Writer {
	t.Helper()
	w, err := s.NewWriter(id, logs.Source{}, l)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); n != len(p) || err != nil {
		t.Fatalf("write %d bytes: %d, %v", len(p), n, err)
	}
}

func closeWriter(t testing.TB, w *logs.Writer) logs.Summary {
	t.Helper()
	sum, err := w.Close(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func read(t testing.TB, s *logs.Store, r logs.Request) []byte {
	t.Helper()
	var out []byte
	for c, err := range s.Read(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c.Text()...)
	}
	return out
}

func stdout(offset int64) logs.Request {
	return logs.Request{Execution: id, Stream: logs.Stdout, Offset: offset}
}

func objects(t testing.TB, b *bus.Bus) (names []string) {
	t.Helper()
	store, err := b.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := store.List(t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Fatal(err)
	}
	for _, i := range infos {
		names = append(names, i.Name)
	}
	return names
}

// storedBytes is what the objects of all logs take.
func storedBytes(t testing.TB, b *bus.Bus) (n int64) {
	t.Helper()
	store, err := b.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := store.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		n += int64(i.Size)
	}
	return n
}

// noise is text that compresses like logs do, with every byte value in it.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "line %d \x00\xff\xfe %c value=%d\n", b.Len(), byte(r.Uint32()), r.Uint64())
	}
	return b.Bytes()[:n]
}

func equal(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, want %d:\n%.120q\n%.120q", len(got), len(want), got, want)
	}
}

func TestLittleOutputIsOneObject(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{})
	raw := []byte("a\x00b\xff\xc3(\r\n\x1b[31mred")
	write(t, w.Stdout(), raw)
	write(t, w.Stderr(), []byte("oops\n"))
	want := logs.Summary{Stdout: logs.StreamSummary{Written: int64(len(raw))}, Stderr: logs.StreamSummary{Written: 5}}
	want.LogBytes = int64(len(raw)) + 5
	got := closeWriter(t, w)
	if want.StoredBytes = storedBytes(t, b); got != want || got.Truncated() {
		t.Fatalf("summary %+v, want %+v", got, want)
	}
	equal(t, read(t, s, stdout(0)), raw)
	equal(t, read(t, s, stdout(3)), raw[3:])
	equal(t, read(t, s, logs.Request{Execution: id, Stream: logs.Stderr}), []byte("oops\n"))
	if got := objects(t, b); len(got) != 1 || got[0] != id+"/manifest.json" {
		t.Fatalf("objects %v, want the manifest alone", got)
	}
}

func TestNoOutputLeavesNothing(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{})
	write(t, w.Stdout(), nil)
	if got := closeWriter(t, w); got != (logs.Summary{}) {
		t.Fatalf("summary %+v", got)
	}
	if got := objects(t, b); got != nil {
		t.Fatalf("objects %v, want none", got)
	}
	if _, err := s.Manifest(t.Context(), id); !errors.Is(err, logs.ErrNoManifest) {
		t.Fatalf("manifest: %v", err)
	}
	equal(t, read(t, s, stdout(0)), nil)
}

func TestRotationIntoSeveralObjects(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	raw := noise(5*logs.MinSegmentBytes + 77)
	for rest := raw; len(rest) > 0; {
		n := min(len(rest), 10_007)
		write(t, w.Stdout(), rest[:n])
		rest = rest[n:]
	}
	if sum := closeWriter(t, w); sum.LogBytes != int64(len(raw)) || sum.StoredBytes != storedBytes(t, b) {
		t.Errorf("summary %+v, stored %d", sum, storedBytes(t, b))
	}
	if got := len(objects(t, b)); got != 7 {
		t.Fatalf("%d objects, want six segments and the manifest", got)
	}
	for _, at := range []int{0, 1, logs.MinSegmentBytes - 1, logs.MinSegmentBytes, 3*logs.MinSegmentBytes + 5, len(raw) - 1, len(raw)} {
		equal(t, read(t, s, stdout(int64(at))), raw[at:])
	}
	m, err := s.Manifest(t.Context(), id)
	if err != nil || m.Streams[logs.Stdout].Segments[2].Name != id+"/stdout.0002.zst" {
		t.Fatalf("manifest %+v, %v", m, err)
	}
}

func TestOutputOverTheLimitIsCountedAndMarked(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.New(t))
	w := newWriter(t, s, logs.Limits{StreamBytes: 100_000})
	raw := noise(1_300_000)
	write(t, w.Stdout(), raw[:90_000])
	write(t, w.Stdout(), raw[90_000:])
	write(t, w.Stderr(), []byte("short"))
	sum := closeWriter(t, w)
	if !sum.Truncated() || sum.Stdout.Written != 1_300_000 || sum.Stdout.Dropped != 1_200_000 || sum.Stderr.Dropped != 0 {
		t.Fatalf("summary %+v", sum)
	}
	want := append(bytes.Clone(raw[:100_000]), "\n[attune: truncated, 1,200,000 bytes not kept]\n"...)
	equal(t, read(t, s, stdout(0)), want)
	m, err := s.Manifest(t.Context(), id)
	if err != nil || m.Streams[logs.Stdout].Dropped != 1_200_000 || !m.Complete {
		t.Fatalf("manifest %+v, %v", m, err)
	}
}

func TestRequestsThatCannotBe(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.New(t))
	w := newWriter(t, s, logs.Limits{})
	write(t, w.Stdout(), []byte("x"))
	closeWriter(t, w)
	for _, r := range []logs.Request{
		stdout(-1),
		{Execution: id, Stream: logs.Stdout, Tail: -1},
		{Execution: id, Stream: "../secret"},
		{Execution: id, Stream: ""},
		{Execution: "a.b", Stream: logs.Stdout},
		{Execution: "*", Stream: logs.Stdout, Follow: true},
		{Execution: "", Stream: logs.Stdout},
	} {
		for _, err := range s.Read(t.Context(), r) {
			if !errors.Is(err, logs.ErrBadRequest) {
				t.Errorf("%+v: %v", r, err)
			}
		}
	}
	equal(t, read(t, s, stdout(1e18)), nil)
	if _, err := s.NewWriter("a.b", logs.Source{}, logs.Limits{}); !errors.Is(err, logs.ErrBadRequest) {
		t.Errorf("writer for a.b: %v", err)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	var long bytes.Buffer
	for i := range 30_000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	lastOf := func(s string, n int) string {
		lines := strings.SplitAfter(strings.TrimSuffix(s, "\n"), "\n")
		return strings.TrimPrefix(s, strings.Join(lines[:max(len(lines)-n, 0)], ""))
	}
	logsOf := map[string]string{
		"empty": "", "one line": "a\n", "without end": "a\nb", "blank lines": "\n\n\n", "long": long.String(),
		"one long line": strings.Repeat("x", 200_000), "long without end": long.String() + "end",
	}
	for name, text := range logsOf {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, natstest.New(t))
			w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
			write(t, w.Stdout(), []byte(text))
			check := func(state string) {
				for _, n := range []int{1, 2, 3, 5000, 29_999, 30_000, 50_000} {
					got := read(t, s, logs.Request{Execution: id, Stream: logs.Stdout, Tail: n})
					if want := lastOf(text, n); string(got) != want {
						t.Errorf("%s, last %d lines: %d bytes %.60q, want %d bytes %.60q", state, n, len(got), got, len(want), want)
					}
				}
			}
			awaitLive(t, s, int64(len(text)))
			check("live")
			closeWriter(t, w)
			check("stored")
		})
	}
}

// awaitLive returns when so much can be read while the execution runs.
func awaitLive(t testing.TB, s *logs.Store, n int64) {
	t.Helper()
	startExecution(t, s.Bus)
	if n == 0 {
		return
	}
	r := stdout(0)
	r.Follow = true
	for c, err := range s.Read(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Next() >= n {
			return
		}
	}
	t.Fatal("the log ended")
}

// startExecution makes the execution run as far as the bus knows; the result ends it.
func startExecution(t testing.TB, b *bus.Bus) (end func(streams.Status, *streams.Output)) {
	t.Helper()
	facts := execution.NewFacts(b.JS)
	req, err := facts.Request(t.Context(), execution.Request{ID: id, Action: "core.echo", PackDigest: "sha256-0", Parameters: json.RawMessage("{}"), Pool: "default"})
	if err != nil {
		t.Fatal(err)
	}
	st := req.State
	advance := func(to streams.Status, out *streams.Output) {
		next := st.Fact
		next.Status, next.At, next.Output = to, time.Now(), out
		seq, err := facts.Append(context.Background(), st, next)
		if err != nil {
			t.Error(err)
		}
		st = execution.State{Fact: next, Sequence: seq}
	}
	if st.Status == streams.Requested {
		advance(streams.Running, nil)
	}
	return advance
}

func TestARemovedLogIsGone(t *testing.T) {
	t.Parallel()
	for name, closed := range map[string]bool{"complete": true, "not closed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := natstest.New(t)
			s := open(t, b)
			w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
			write(t, w.Stderr(), noise(200_000))
			if closed {
				closeWriter(t, w)
			} else {
				awaitSegments(t, s, 2)
			}
			for range 2 { // what is not there can be removed
				if err := s.Remove(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			for c, err := range s.Read(t.Context(), logs.Request{Execution: id, Stream: logs.Stderr}) {
				if closed || err != nil {
					t.Fatalf("read %d bytes at %d, %v", len(c.Data), c.Offset, err)
				}
			}
			if !closed {
				closeWriter(t, w)
			}
		})
	}
}
