package logs_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

const cutMark = "[attune: the log may end too early: its runner was lost before all of it was stored]\n"

// deadRunner gives the bus, and a writer whose death leaves the log as a runner does: published as far as it was asked
// for, and stored as far as it was.
func deadRunner(t testing.TB, l logs.Limits) (b *bus.Bus, s *logs.Store, w *logs.Writer, die func(stdout int64)) {
	t.Helper()
	server := natstest.Start(t)
	its := natstest.Connect(t, server)
	b = natstest.Connect(t, server)
	s, w = open(t, b), newWriter(t, open(t, its), l)
	return b, s, w, func(stdout int64) {
		awaitLive(t, s, stdout)
		its.Conn.Close()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Close(gone); err == nil {
			t.Fatal("it could still store its log")
		}
	}
}

func complete(t testing.TB, s *logs.Store) logs.StoredLog {
	t.Helper()
	got, err := s.Complete(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// forget removes the messages of a stream of the bus that match.
func forget(t testing.TB, b *bus.Bus, stream string, opts ...jetstream.StreamPurgeOpt) {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), stream)
	if err == nil {
		err = s.Purge(t.Context(), opts...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func forgetManifest(t testing.TB, b *bus.Bus) {
	t.Helper()
	name := base64.URLEncoding.EncodeToString([]byte(id + "/manifest.json"))
	forget(t, b, "OBJ_"+streams.ObjectsLogs, jetstream.WithPurgeSubject("$O."+streams.ObjectsLogs+".M."+name))
}

func TestWhatADeadRunnerLeftIsStoredAndMarked(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"a line":                        []byte("hello\n"),
		"half a line":                   []byte("hel"),
		"a segment and a half":          noise(3 * logs.MinSegmentBytes / 2),
		"segments and nothing besides":  noise(2 * logs.MinSegmentBytes),
		"more than a manifest may hold": noise(40_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s, w, die := deadRunner(t, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
			write(t, w.Stdout(), raw)
			die(int64(len(raw)))
			want := slices.Clone(raw)
			if raw[len(raw)-1] != '\n' {
				want = append(want, '\n')
			}
			want = append(want, cutMark...)
			first := complete(t, s)
			if !first.Incomplete || first.Bytes != int64(len(want)) || first.Stored == 0 {
				t.Errorf("%+v", first)
			}
			if again := complete(t, s); again != first {
				t.Errorf("the second time %+v, want %+v", again, first)
			}
			forget(t, b, streams.Logs)
			equal(t, read(t, s, stdout(0)), want)
		})
	}
}

func TestALogThatWasWholeIsNotMarked(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*testing.T, *bus.Bus, *logs.Store, *logs.Writer, []byte){
		"the manifest was not stored": func(t *testing.T, b *bus.Bus, _ *logs.Store, w *logs.Writer, raw []byte) {
			t.Helper()
			write(t, w.Stdout(), raw)
			closeWriter(t, w)
			forgetManifest(t, b)
		},
		"canceled between two attempts": func(t *testing.T, _ *bus.Bus, _ *logs.Store, w *logs.Writer, raw []byte) {
			t.Helper()
			write(t, w.Stdout(), raw)
			suspend(t, w)
		},
	} {
		for size, raw := range map[string][]byte{"little": []byte("x\n"), "much": noise(150_000)} {
			t.Run(name+", "+size, func(t *testing.T) {
				t.Parallel()
				b := natstest.New(t)
				s := open(t, b)
				leave(t, b, s, newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes}), raw)
				if got := complete(t, s); got.Incomplete || got.Bytes != int64(len(raw)) {
					t.Errorf("%+v", got)
				}
				equal(t, read(t, s, stdout(0)), raw)
				if m, err := s.Manifest(t.Context(), id); err != nil || !m.Complete || m.Cut {
					t.Errorf("%+v, %v", m, err)
				}
			})
		}
	}
}

func TestManyMayCompleteALogAtOnce(t *testing.T) {
	t.Parallel()
	_, s, w, die := deadRunner(t, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	raw := noise(200_000)
	write(t, w.Stdout(), raw)
	write(t, w.Stderr(), []byte("oops\n"))
	die(int64(len(raw)))
	got := make([]logs.StoredLog, 6)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = s.Complete(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, g := range got {
		if g != got[0] {
			t.Errorf("%+v and %+v", g, got[0])
		}
	}
	text := read(t, s, stdout(0))
	if !bytes.HasPrefix(text, raw) || bytes.Count(text, []byte(cutMark)) != 1 {
		t.Errorf("%d bytes, ending with %q", len(text), text[max(0, len(text)-200):])
	}
}

func TestWhatTheBusHasDroppedIsSaidToBeMissing(t *testing.T) {
	t.Parallel()
	b, s, w, die := deadRunner(t, logs.Limits{})
	raw := noise(200_000)
	for rest := raw; len(rest) > 0; rest = rest[50_000:] {
		write(t, w.Stdout(), rest[:50_000])
		awaitLive(t, s, int64(len(raw)-len(rest)+50_000))
	}
	die(int64(len(raw)))
	forget(t, b, streams.Logs, jetstream.WithPurgeKeep(1))
	if got := complete(t, s); !got.Incomplete {
		t.Errorf("%+v", got)
	}
	text := read(t, s, stdout(0))
	if !bytes.HasPrefix(text, []byte("[attune: bytes 0 to 149999 are missing] ")) || text[149_999] != '\n' || !bytes.Equal(text[150_000:200_000], raw[150_000:]) {
		t.Errorf("it begins with %q, and goes on with %q", text[:60], text[150_000:150_050])
	}
}

func TestWhatNeedsNoCompletion(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	if got := complete(t, s); got != (logs.StoredLog{}) || objects(t, b) != nil {
		t.Errorf("without output %+v, %v", got, objects(t, b))
	}
	w := newWriter(t, s, logs.Limits{})
	write(t, w.Stdout(), []byte("done\n"))
	closeWriter(t, w)
	if got := complete(t, s); got.Incomplete || got.Bytes != 5 {
		t.Errorf("complete already: %+v", got)
	}
	if err := s.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := complete(t, s); got.Bytes != 0 || objects(t, b) != nil {
		t.Errorf("removed: %+v, %v", got, objects(t, b))
	}
}

// A runner that was believed dead and goes on writes no part of a log that was completed without it.
func TestALateRunnerDoesNotChangeACompletedLog(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	raw := noise(4 * logs.MinSegmentBytes)
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	write(t, w.Stdout(), raw[:3*logs.MinSegmentBytes/2])
	awaitLive(t, s, 3*logs.MinSegmentBytes/2)
	complete(t, s)
	want := read(t, s, stdout(0))
	write(t, w.Stdout(), raw[3*logs.MinSegmentBytes/2:])
	if _, err := w.Close(t.Context()); err == nil {
		t.Error("it could store its log")
	}
	complete(t, s)
	equal(t, read(t, s, stdout(0)), want)
}
