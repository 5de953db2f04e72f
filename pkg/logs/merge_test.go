package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// told is a piece as a test sees it.
type told struct {
	stream, text string
	offset       int64
	at           time.Time
	behind       logs.Position
}

func merged(ctx context.Context, t rapid.TB, s *logs.Store, r logs.MergeRequest) (all []told) {
	t.Helper()
	for p, err := range s.Merge(ctx, r) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, told{p.Stream, string(p.Text()), p.Offset, p.Time, p.Behind})
	}
	return all
}

// lines writes pieces as lines with the name of their stream before them.
func lines(all []told) (text string) {
	for _, p := range all {
		for line := range strings.Lines(p.text) {
			text += p.stream[3:] + " " + strings.TrimSuffix(line, "\n") + "\n"
		}
	}
	return text
}

// said is a chunk that was published as a runner's writer does.
type said struct {
	stream string
	at     time.Time
	data   string
}

func publishAll(t rapid.TB, s *logs.Store, execution string, all []said) {
	t.Helper()
	at := map[string]int{}
	for _, c := range all {
		subject, err := streams.LogSubject(execution, c.stream)
		if err != nil {
			t.Fatal(err)
		}
		m := nats.NewMsg(subject)
		m.Data = []byte(c.data)
		m.Header.Set(streams.HeaderOffset, strconv.Itoa(at[c.stream]))
		m.Header.Set(streams.HeaderTime, c.at.UTC().Format(time.RFC3339Nano))
		if _, err := s.Bus.JS.PublishMsgAsync(m); err != nil {
			t.Fatal(err)
		}
		at[c.stream] += len(c.data)
	}
	<-s.Bus.JS.PublishAsyncComplete()
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func second(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

func TestStreamsAreMergedByTime(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.New(t))
	publishAll(t, s, id, []said{
		{logs.Stderr, second(2), "e2\n"},
		{logs.Stdout, second(1), "o1\n"},
		{logs.Stderr, second(4), "e4 "},
		{logs.Stderr, second(6), "and more\ne6\n"},
		{logs.Stdout, second(3), "o3\n"},
		{logs.Stdout, second(5), "o5\nand "},
		{logs.Stdout, second(7), "o7\no7"},
		{logs.Stderr, second(7), "e7"},
	})
	request := func(change func(*logs.MergeRequest)) logs.MergeRequest {
		r := logs.MergeRequest{Execution: id}
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		r    logs.MergeRequest
		want string
	}{
		"all":     {request(func(*logs.MergeRequest) {}), "out o1 err e2 out o3 err e4 and more out o5 out and o7 err e6 out o7 err e7"},
		"one":     {request(func(r *logs.MergeRequest) { r.Streams = []string{logs.Stderr} }), "err e2 err e4 and more err e6 err e7"},
		"tail":    {request(func(r *logs.MergeRequest) { r.Tail = 4 }), "out and o7 err e6 out o7 err e7"},
		"tail 1":  {request(func(r *logs.MergeRequest) { r.Tail = 1 }), "err e7"},
		"tail 99": {request(func(r *logs.MergeRequest) { r.Tail = 99 }), "out o1 err e2 out o3 err e4 and more out o5 out and o7 err e6 out o7 err e7"},
		"since":   {request(func(r *logs.MergeRequest) { r.Since = second(6) }), "err and more err e6 out o7 out o7 err e7"},
		"late":    {request(func(r *logs.MergeRequest) { r.Since = second(8) }), ""},
		"grep":    {request(func(r *logs.MergeRequest) { r.Grep = regexp.MustCompile("o7$|more") }), "err e4 and more out and o7 out o7"},
		"from":    {request(func(r *logs.MergeRequest) { r.From = logs.Position{Stdout: 3, Stderr: 100} }), "out o3 out o5 out and o7 out o7"},
		"of these the last": {
			request(func(r *logs.MergeRequest) { r.Tail = 3; r.Grep = regexp.MustCompile("e") }), "err e6 err e7",
		},
	} {
		got := strings.Join(strings.Split(strings.TrimSpace(lines(merged(t.Context(), t, s, c.r))), "\n"), " ")
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for _, r := range []logs.MergeRequest{
		{Execution: "a.b"},
		request(func(r *logs.MergeRequest) { r.Streams = []string{"../x"} }),
		request(func(r *logs.MergeRequest) { r.Streams = []string{logs.Stdout, logs.Stdout} }),
		request(func(r *logs.MergeRequest) { r.Streams = []string{logs.Stdout, logs.Stderr, logs.Stdout} }),
		request(func(r *logs.MergeRequest) { r.Tail = -1 }),
		request(func(r *logs.MergeRequest) { r.From.Stdout = -1 }),
	} {
		for _, err := range s.Merge(t.Context(), r) {
			if !errors.Is(err, logs.ErrBadRequest) {
				t.Errorf("%+v: %v", r, err)
			}
		}
	}
}

// A long line is given in parts, and matched by its beginning.
func TestALongLineIsMatchedByItsBeginning(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.New(t))
	long := strings.Repeat("x", 100_000)
	publishAll(t, s, id, []said{
		{logs.Stdout, second(1), "begin" + long[:60_000]}, {logs.Stdout, second(2), long + "late\n"}, {logs.Stdout, second(3), "late\n"},
	})
	for pattern, want := range map[string]string{"begin": "begin" + long[:60_000] + long + "late\n", "late": "late\n", "^x": ""} {
		var got strings.Builder
		for _, p := range merged(t.Context(), t, s, logs.MergeRequest{Execution: id, Grep: regexp.MustCompile(pattern)}) {
			got.WriteString(p.text)
		}
		if got.String() != want {
			t.Errorf("%s: %d bytes, want %d", pattern, got.Len(), len(want))
		}
	}
}

// Whatever two streams say, and however it is cut: every byte comes once, each stream in its order, both by time, and
// whoever goes on behind any of the pieces sees the rest of them.
func TestAMergeLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.New(t))
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		execution := "x" + strconv.Itoa(run)
		clock := 0
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) said {
			clock += rapid.IntRange(0, 2).Draw(t, "later")
			text := rapid.StringOfN(rapid.RuneFrom([]rune("ab\n")), 1, 6, -1).Draw(t, "text")
			return said{rapid.SampledFrom(logs.Names()).Draw(t, "stream"), second(clock), text}
		}), 0, 12).Draw(t, "said")
		want := map[string]string{}
		for _, c := range all {
			want[c.stream] += c.data
		}
		publishAll(t, s, execution, rapid.Permutation(all).Filter(func(p []said) bool { return inOrder(p, all) }).Draw(t, "order"))
		got := merged(t.Context(), t, s, logs.MergeRequest{Execution: execution})
		checkMerge(t, got, logs.Position{}, want)
		if len(got) > 0 {
			from := got[rapid.IntRange(0, len(got)-1).Draw(t, "resume")].behind
			again, err := logs.ParsePosition(from.String())
			if err != nil {
				t.Fatal(err)
			}
			rest := map[string]string{logs.Stdout: want[logs.Stdout][from.Stdout:], logs.Stderr: want[logs.Stderr][from.Stderr:]}
			checkMerge(t, merged(t.Context(), t, s, logs.MergeRequest{Execution: execution, From: again}), from, rest)
		}
		checkLast(t, s, execution, got, rapid.IntRange(1, 8).Draw(t, "tail"))
	})
}

// inOrder tells whether each stream's chunks stand in the order in which they were said.
func inOrder(p, all []said) bool {
	for _, stream := range logs.Names() {
		of := func(list []said) []said {
			return slices.DeleteFunc(slices.Clone(list), func(c said) bool { return c.stream != stream })
		}
		if !slices.Equal(of(p), of(all)) {
			return false
		}
	}
	return true
}

func checkMerge(t *rapid.T, got []told, from logs.Position, want map[string]string) {
	t.Helper()
	at, text := from, map[string]string{}
	for i, p := range got {
		if p.offset != at.Of(p.stream) {
			t.Fatalf("piece %d of %s at %d, want %d", i, p.stream, p.offset, at.Of(p.stream))
		}
		if i > 0 && p.at.Before(got[i-1].at) {
			t.Fatalf("piece %d was written before the one before: %+v", i, got)
		}
		text[p.stream] += p.text
		at = p.behind
	}
	for _, stream := range logs.Names() {
		if text[stream] != want[stream] {
			t.Fatalf("%s: %q, want %q", stream, text[stream], want[stream])
		}
	}
}

// checkLast compares the last lines with those of the whole.
func checkLast(t *rapid.T, s *logs.Store, execution string, all []told, n int) {
	t.Helper()
	whole := strings.Split(lines(all), "\n")
	whole = whole[:len(whole)-1]
	want := strings.Join(whole[max(len(whole)-n, 0):], "\n")
	got := strings.TrimSuffix(lines(merged(context.Background(), t, s, logs.MergeRequest{Execution: execution, Tail: n})), "\n")
	if got != want {
		t.Fatalf("last %d: %q, want %q of %q", n, got, want, whole)
	}
}

func TestAPositionIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "stdout:1", "stdout:1,", "stdout:-1,stderr:0", "stdout:1,stderr:x", "stderr:1,stdout:2", "stdout:1,stderr:2,", "stdout:99999999999999999999,stderr:0",
		"stdout:+1,stderr:0", "1,2",
	} {
		if p, err := logs.ParsePosition(text); !errors.Is(err, logs.ErrBadRequest) {
			t.Errorf("%q is %+v, %v", text, p, err)
		}
	}
	if p, err := logs.ParsePosition("stdout:1,stderr:9223372036854775807"); err != nil || p.Stdout != 1 || p.Stderr != 1<<63-1 {
		t.Errorf("%+v, %v", p, err)
	}
}

// What is being written is given while it is: no stream waits for what may come of the other.
func TestASilentStreamDelaysNobody(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	end := startExecution(t, b)
	w := newWriter(t, s, logs.Limits{})
	pieces := make(chan told)
	go func() {
		defer close(pieces)
		for p, err := range s.Merge(t.Context(), logs.MergeRequest{Execution: id, Follow: true}) {
			if err != nil {
				t.Error(err)
				return
			}
			pieces <- told{p.Stream, string(p.Text()), p.Offset, p.Time, p.Behind}
		}
	}()
	said := []told{
		{stream: logs.Stdout, text: "one\n"}, {stream: logs.Stdout, text: "prompt: "}, {stream: logs.Stderr, text: "two\n"}, {stream: logs.Stderr, text: "three"},
	}
	for _, one := range said { // each is seen before the next is written
		out := w.Stdout()
		if one.stream == logs.Stderr {
			out = w.Stderr()
		}
		write(t, out, []byte(one.text))
		if got := <-pieces; got.stream != one.stream || got.text != one.text {
			t.Fatalf("got %+v, want %+v", got, one)
		}
	}
	closeWriter(t, w)
	end(streams.Succeeded, &streams.Output{StdoutBytes: 12, StderrBytes: 9})
	if p, more := <-pieces; more {
		t.Errorf("%+v came after the end", p)
	}
}

func TestAFollowedMergeBeats(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	startExecution(t, b)
	publishAll(t, s, id, []said{{logs.Stderr, second(1), "x\n"}})
	seen := 0
	for p, err := range s.Merge(t.Context(), logs.MergeRequest{Execution: id, Follow: true, Grep: regexp.MustCompile("y"), Beat: time.Millisecond}) {
		if err != nil || p.Stream != "" || len(p.Text()) > 0 {
			t.Fatalf("got %+v, %v", p, err)
		}
		if seen++; seen > 2 && p.Behind.Stderr == 2 { // what does not match is passed all the same
			return
		}
	}
	t.Error("the log ended")
}

func TestWhatIsMissingIsToldInItsPlace(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.New(t))
	publish(t, s.Bus, 0, "abc", false)
	publish(t, s.Bus, 200, "klm\n", true)
	got := lines(merged(t.Context(), t, s, logs.MergeRequest{Execution: id, Grep: regexp.MustCompile("k")}))
	if want := "out [attune: bytes 3 to 199 are missing]\nout klm\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for offset, line := range map[int64]string{0: "abc[attune: bytes 3 to 199 are missing]", 150: "[attune: bytes 150 to 199 are missing]", 190: "[attune: b"} {
		var whole bytes.Buffer
		for c, err := range s.Read(t.Context(), stdout(offset)) {
			if err != nil {
				t.Fatal(err)
			}
			if n, err := c.WriteTo(&whole); err != nil || n != c.Next()-c.Offset {
				t.Errorf("wrote %d of %d, %v", n, c.Next()-c.Offset, err)
			}
		}
		want := fmt.Sprintf("%-*s", 200-offset, line)
		if len(line) < int(200-offset) {
			want = want[:len(want)-1] + "\n"
		}
		if want += "klm\n"; whole.String() != want {
			t.Errorf("from %d: %q, want %q", offset, whole.String(), want)
		}
	}
}

// Who follows both streams sees every byte of each, over the border of what is stored, and so does who comes later.
func TestAFollowedMergeSeesWhatBothStreamsHold(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	end := startExecution(t, b)
	raw := map[string][]byte{logs.Stdout: noise(300_000), logs.Stderr: noise(250_000)}
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	readers := make([]chan map[string][]byte, 3)
	begin := func(i int, r logs.MergeRequest) {
		readers[i] = make(chan map[string][]byte, 1)
		go func() {
			got := map[string][]byte{}
			for p, err := range s.Merge(t.Context(), r) {
				if err != nil {
					t.Error(err)
				}
				got[p.Stream] = append(got[p.Stream], p.Data...)
			}
			readers[i] <- got
		}()
	}
	all := logs.MergeRequest{Execution: id, Follow: true}
	begin(0, all)
	for i := 0; i < 250_000; i += 10_000 {
		write(t, w.Stdout(), raw[logs.Stdout][i:i+10_000])
		write(t, w.Stderr(), raw[logs.Stderr][i:i+10_000])
		if i == 120_000 {
			begin(1, all)
		}
	}
	write(t, w.Stdout(), raw[logs.Stdout][250_000:])
	closeWriter(t, w)
	end(streams.Succeeded, &streams.Output{StdoutBytes: 300_000, StderrBytes: 250_000})
	begin(2, all)
	for _, reader := range readers {
		got := <-reader
		for _, stream := range logs.Names() {
			equal(t, got[stream], raw[stream])
		}
	}
}
