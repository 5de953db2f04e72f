package logs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// moments gives when each chunk was read while the execution ran.
func moments(t *testing.T, s *logs.Store) map[int64]time.Time {
	t.Helper()
	at := map[int64]time.Time{}
	for c, err := range s.Read(t.Context(), stdout(0)) {
		if err != nil {
			t.Fatal(err)
		}
		at[c.Offset] = c.Time.Truncate(time.Microsecond)
	}
	return at
}

// writeSlowly writes each part once the one before has been published, so that each has a time of its own.
func writeSlowly(t *testing.T, s *logs.Store, w *logs.Writer, parts [][]byte) (all []byte) {
	t.Helper()
	for _, p := range parts {
		write(t, w.Stdout(), p)
		all = append(all, p...)
		awaitLive(t, s, int64(len(all)))
	}
	return all
}

func TestStoredOutputHasTheTimesAtWhichItWasRead(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][][]byte{
		"one line":     {[]byte("one\n")},
		"in the list":  {[]byte("one\n"), []byte("two\n"), []byte("three\n")},
		"in a segment": {[]byte("one\n"), noise(40_000), []byte("two\n")},
		"in segments":  {noise(60_000), noise(40_000), []byte("two\n"), noise(64 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, natstest.New(t))
			w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
			all := writeSlowly(t, s, w, parts)
			live := moments(t, s)
			closeWriter(t, w)
			r := stdout(0)
			r.Timed = true
			var got []byte
			for c, err := range s.Read(t.Context(), r) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, c.Data...)
				want, known := live[c.Offset]
				if delete(live, c.Offset); known && !c.Time.Truncate(time.Microsecond).Equal(want) {
					t.Errorf("chunk at %d: %v, was read at %v", c.Offset, c.Time, want)
				}
			}
			if equal(t, got, all); len(live) > 0 {
				t.Errorf("no chunks at %v", live)
			}
			r.Offset = int64(len(all) - 2)
			equal(t, read(t, s, r), all[r.Offset:])
		})
	}
}

// damage replaces an object and keeps what describes it.
func damage(t *testing.T, b *bus.Bus, name string, f func([]byte) []byte) {
	t.Helper()
	store, err := b.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	info, err := store.GetInfo(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := store.GetBytes(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.PutObject(context.Background(), streams.ObjectsLogs, jetstream.ObjectMeta{Name: name, Metadata: info.Metadata}, f(data)); err != nil {
		t.Fatal(err)
	}
}

func TestOutputWhoseIndexIsDamagedCanBeRead(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{})
	all := writeSlowly(t, s, w, [][]byte{noise(30_000), noise(30_000)})
	closeWriter(t, w)
	m, err := s.Manifest(t.Context(), id)
	if err != nil || m.Encoding != "zstd" {
		t.Fatalf("manifest %+v, %v", m, err)
	}
	seg := m.Streams[logs.Stdout].Segments[0]
	r := stdout(0)
	r.Timed = true
	for _, harm := range []struct {
		name string
		do   func([]byte) []byte
	}{ // one after the other
		{"changed", func(p []byte) []byte { return append(bytes.Clone(p[:len(p)-1]), p[len(p)-1]^1) }},
		{"cut", func(p []byte) []byte { return p[:len(p)-3] }},
		{"gone", func(p []byte) []byte { return p[:seg.Stored-seg.Index] }},
	} {
		damage(t, b, seg.Name, harm.do)
		for c, err := range s.Read(t.Context(), r) {
			if err != nil || !c.Time.Equal(seg.First) {
				t.Errorf("%s: chunk at %d, %v, %v", harm.name, c.Offset, c.Time, err)
			}
			equal(t, c.Data, all[c.Offset:])
		}
	}
}

// What other programs read of a segment is its output.
func TestASegmentIsForOtherPrograms(t *testing.T) {
	t.Parallel()
	zstd, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("no zstd here")
	}
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{})
	raw := noise(100_000)
	write(t, w.Stdout(), raw)
	closeWriter(t, w)
	m, err := s.Manifest(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	seg := m.Streams[logs.Stdout].Segments[0]
	store, err := b.JS.ObjectStore(t.Context(), streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := store.GetBytes(t.Context(), seg.Name)
	if err != nil || seg.Stored != int64(len(packed)) || seg.Digest != fmt.Sprintf("%x", sha256.Sum256(packed)) {
		t.Fatalf("segment %+v is %d bytes, %v", seg, len(packed), err)
	}
	cmd := exec.CommandContext(t.Context(), zstd, "-dc")
	cmd.Stdin = bytes.NewReader(packed)
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, raw)
}
