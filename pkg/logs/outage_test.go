package logs_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// openHasty opens a store that a process waits for only a moment.
func openHasty(t testing.TB, b *bus.Bus) *logs.Store {
	t.Helper()
	s, err := logs.Open(t.Context(), logs.Config{Bus: b, Patience: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestADeadStoreDoesNotBlockTheProcess(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	s := openHasty(t, natstest.Connect(t, server))
	w := newWriter(t, s, logs.Limits{})
	write(t, w.Stdout(), []byte("before\n"))
	server.Stop()
	chunk := noise(64 << 10)
	began := time.Now()
	for range 1000 {
		write(t, w.Stdout(), chunk)
	}
	if took := time.Since(began); took > 10*time.Second { // a wait for each would be 200 s
		t.Errorf("writing took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	sum, err := w.Close(ctx)
	if !errors.Is(err, logs.ErrNotStored) || !sum.Truncated() {
		t.Fatalf("close: %+v, %v", sum, err)
	}
}

func TestAnOutageIsMarkedInItsPlace(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	s := openHasty(t, natstest.Connect(t, server))
	w := newWriter(t, s, logs.Limits{})
	write(t, w.Stdout(), []byte("before\n"))
	awaitLive(t, s, 7)
	server.Stop()
	raw := noise(4 << 20)
	write(t, w.Stdout(), raw)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	awaitLive(t, s, 7+(512<<10)+1) // what was gathered when the store died has been taken: there is room again
	write(t, w.Stdout(), []byte("after\n"))
	sum := closeWriter(t, w)
	if sum.Stdout.Written != 7+4<<20+6 || sum.Stdout.Dropped == 0 {
		t.Fatalf("summary %+v", sum)
	}
	got := read(t, s, stdout(0))
	kept := 4<<20 - int(sum.Stdout.Dropped)
	if !bytes.HasPrefix(got, append([]byte("before\n"), raw[:kept]...)) {
		t.Errorf("the log does not begin with what was kept")
	}
	if !bytes.Contains(got[7+kept:], []byte(" bytes not kept: the log store did not answer]\nafter\n")) {
		t.Errorf("the log ends with %q", got[7+kept:])
	}
}

func TestAShortOutageLosesNothing(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	b := natstest.Connect(t, server)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	raw := noise(2 << 20)
	write(t, w.Stdout(), raw[:1<<20])
	for range 2 {
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, w.Stdout(), raw[1<<20:])
	if sum := closeWriter(t, w); sum.Truncated() {
		t.Errorf("summary %+v", sum)
	}
	equal(t, read(t, s, stdout(0)), raw)
}

// bound has the object store of logs refuse what is over so many bytes.
func bound(t testing.TB, b *bus.Bus, most int64) {
	t.Helper()
	stream, err := b.JS.Stream(t.Context(), "OBJ_"+streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = most
	if _, err := b.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// What has no room is said to be missing, and nobody waits for it for ever.
func TestAFullStoreEndsTheLogWithAMark(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	bound(t, b, 200<<10)
	s := openHasty(t, b)
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	raw := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(raw) // it never fails
	for part := range slices.Chunk(raw, 1000) {
		write(t, w.Stdout(), part)
	}
	sum := closeWriter(t, w)
	got := read(t, s, stdout(0))
	kept, mark, found := bytes.Cut(got, []byte("[attune: bytes "))
	if !found || len(kept) < logs.MinSegmentBytes || !bytes.HasPrefix(raw, kept) || !bytes.HasSuffix(mark, []byte(" are missing]\n")) {
		t.Errorf("%d bytes, then %.100q", len(kept), mark)
	}
	if sum.Stdout.Written != 1<<20 || sum.Stdout.Dropped < int64(len(raw)-len(kept)-1000) || !sum.Truncated() {
		t.Errorf("%+v, kept %d", sum, len(kept))
	}
}
