package logs_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/pkg/pack"
)

func TestAnActionsLimitsGoOverTheInstallations(t *testing.T) {
	t.Parallel()
	installation := logs.Limits{StreamBytes: 1 << 20, TotalBytes: 3 << 20, SegmentBytes: 1 << 20, Ends: true}
	for name, c := range map[string]struct {
		action pack.Logs
		want   logs.Limits
	}{
		"none of its own":          {pack.Logs{}, installation},
		"less":                     {pack.Logs{MaxBytes: 2048}, logs.Limits{StreamBytes: 2048, TotalBytes: 3 << 20, SegmentBytes: 1 << 20, Ends: true}},
		"more, and so of both":     {pack.Logs{MaxBytes: 2 << 20}, logs.Limits{StreamBytes: 2 << 20, TotalBytes: 4 << 20, SegmentBytes: 1 << 20, Ends: true}},
		"more, but not of both":    {pack.Logs{MaxBytes: 2 << 20, MaxTotalBytes: 2 << 20}, logs.Limits{StreamBytes: 2 << 20, TotalBytes: 2 << 20, SegmentBytes: 1 << 20, Ends: true}},
		"the beginning":            {pack.Logs{Keep: pack.KeepHead}, logs.Limits{StreamBytes: 1 << 20, TotalBytes: 3 << 20, SegmentBytes: 1 << 20}},
		"segments beyond what may": {pack.Logs{SegmentBytes: 1 << 30}, logs.Limits{StreamBytes: 1 << 20, TotalBytes: 3 << 20, SegmentBytes: logs.MaxSegmentBytes, Ends: true}},
	} {
		if got := installation.For(c.action); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	want := logs.Limits{StreamBytes: 10 << 20, TotalBytes: 20 << 20, SegmentBytes: 4 << 20}
	if got := (logs.Limits{}).For(pack.Logs{}); got != want {
		t.Errorf("without any: %+v", got)
	}
}

func TestBothStreamsShareTheirLimitToTheByte(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"beginning": false, "ends": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, natstest.New(t))
			const total, wrote = 150_001, 900_000
			w := newWriter(t, s, logs.Limits{StreamBytes: 100_000, TotalBytes: total, Ends: ends})
			raw := noise(wrote)
			var both sync.WaitGroup
			for _, to := range []io.Writer{w.Stdout(), w.Stderr()} {
				both.Go(func() {
					for part := range slices.Chunk(raw, 777) {
						write(t, to, part)
					}
				})
			}
			both.Wait()
			sum := closeWriter(t, w)
			if kept := sum.Stdout.Written + sum.Stderr.Written - sum.Dropped(); kept != total || sum.Stdout.Written != wrote || sum.Stderr.Written != wrote {
				t.Errorf("kept %d bytes, want %d: %+v", kept, total, sum)
			}
			if w.Excess() == nil {
				t.Error("nobody was told")
			}
			for _, stream := range logs.Names() {
				got := read(t, s, logs.Request{Execution: id, Stream: stream})
				if !bytes.Contains(got, []byte("[attune: truncated, ")) {
					t.Errorf("%s has no marker: %.60q", stream, got)
				}
			}
		})
	}
}

func TestAStreamThatComesTooLateIsMarked(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"beginning": false, "ends": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, natstest.New(t))
			w := newWriter(t, s, logs.Limits{StreamBytes: 4096, TotalBytes: 4096, Ends: ends})
			write(t, w.Stdout(), noise(4096))
			if w.Excess() != nil {
				t.Error("it is not over its limit yet")
			}
			write(t, w.Stderr(), []byte("late\n"))
			want := logs.Excess{Limit: 4096}
			if got := w.Excess(); got == nil || *got != want {
				t.Errorf("excess %+v", got)
			}
			sum := closeWriter(t, w)
			if sum.Stdout.Dropped != 0 || sum.Stderr != (logs.StreamSummary{Written: 5, Dropped: 5}) {
				t.Errorf("%+v", sum)
			}
			equal(t, read(t, s, logs.Request{Execution: id, Stream: logs.Stderr}), []byte("[attune: truncated, 5 bytes not kept]\n"))
		})
	}
}

func TestTheEndsOfLongOutputAreKept(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.New(t))
	raw := noise(1_300_000)
	cut := func(head, tail int) []byte {
		mark := fmt.Sprintf("\n[attune: truncated, %s bytes not kept]\n", map[int]string{100_000: "1,200,000", 60_000: "1,240,000", 50_000: "1,250,000"}[head+tail])
		return slices.Concat(raw[:head], []byte(mark), raw[len(raw)-tail:])
	}
	for name, c := range map[string]struct {
		limits logs.Limits
		wrote  int
		want   []byte
	}{
		"less than half":    {logs.Limits{StreamBytes: 100_000}, 40_000, raw[:40_000]},
		"less":              {logs.Limits{StreamBytes: 100_000}, 80_000, raw[:80_000]},
		"just as much":      {logs.Limits{StreamBytes: 100_000}, 100_000, raw[:100_000]},
		"more":              {logs.Limits{StreamBytes: 100_000}, len(raw), cut(50_000, 50_000)},
		"more than of both": {logs.Limits{StreamBytes: 100_000, TotalBytes: 60_000}, len(raw), cut(50_000, 10_000)},
		"only the half":     {logs.Limits{StreamBytes: 100_000, TotalBytes: 50_000}, len(raw), cut(50_000, 0)},
	} {
		c.limits.Ends, c.limits.SegmentBytes = true, logs.MinSegmentBytes
		for _, piece := range []int{333, 64 << 10, 1 << 20} {
			what := fmt.Sprint(name, " in pieces of ", piece)
			r := logs.Request{Execution: fmt.Sprintf("%x", what), Stream: logs.Stdout}
			w, err := s.NewWriter(r.Execution, logs.Source{}, c.limits)
			if err != nil {
				t.Fatal(err)
			}
			for part := range slices.Chunk(raw[:c.wrote], piece) {
				write(t, w.Stdout(), part)
			}
			sum := closeWriter(t, w)
			dropped := int64(c.wrote) - min(int64(c.wrote), c.limits.WithDefaults().TotalBytes, c.limits.StreamBytes)
			if sum.Stdout != (logs.StreamSummary{Written: int64(c.wrote), Dropped: dropped}) || (w.Excess() != nil) != (dropped > 0) {
				t.Errorf("%s: %+v, want %d dropped; excess %v", what, sum, dropped, w.Excess())
			}
			if got := read(t, s, r); !bytes.Equal(got, c.want) {
				t.Errorf("%s: %d bytes %.60q, want %d", what, len(got), got, len(c.want))
			}
			if r.Offset = 39_999; !bytes.Equal(read(t, s, r), c.want[r.Offset:]) {
				t.Errorf("%s: the offsets are others", what)
			}
		}
	}
}

// Each attempt may write as much as one alone: the last is what people look for.
func TestEachAttemptHasTheWholeLimit(t *testing.T) {
	t.Parallel()
	raw := bytes.ReplaceAll(noise(3000), []byte{'\n'}, []byte{' '})
	mark := []byte("\n[attune: truncated, 1,000 bytes not kept]\n")
	for name, want := range map[string][]byte{
		"beginning": slices.Concat(raw[:2000], mark),
		"ends":      slices.Concat(raw[:1000], mark, raw[2000:]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, natstest.New(t))
			limits := logs.Limits{StreamBytes: 2000, TotalBytes: 2000, Ends: name == "ends"}
			w := newWriter(t, s, limits)
			write(t, w.Stdout(), raw)
			suspend(t, w)
			equal(t, read(t, s, stdout(0)), want)
			w = continued(t, s, limits)
			write(t, w.Stdout(), raw)
			sum := closeWriter(t, w)
			equal(t, read(t, s, stdout(0)), slices.Concat(want, want))
			if sum.Dropped() != 1000 || sum.LogBytes != 2*int64(len(want)) {
				t.Errorf("%+v", sum)
			}
		})
	}
}

func TestWhatNeedNotBeLookedAtIsCounted(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.New(t))
	w := newWriter(t, s, logs.Limits{StreamBytes: 2000})
	out := w.Stdout()
	if out.Drop(5) {
		t.Fatal("dropped before the limit")
	}
	write(t, out, noise(2001))
	if !out.Drop(1 << 30) {
		t.Fatal("not dropped beyond the limit")
	}
	if sum := closeWriter(t, w); sum.Stdout != (logs.StreamSummary{Written: 2001 + 1<<30, Dropped: 1 + 1<<30}) {
		t.Errorf("%+v", sum)
	}
	equal(t, read(t, s, stdout(2000)), []byte("\n[attune: truncated, 1,073,741,825 bytes not kept]\n"))
}

// The end of a long output is held in a file. Without a place for that only the beginning is kept, and that is marked.
func TestWithoutADiskTheBeginningIsKept(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s, err := logs.Open(t.Context(), logs.Config{Bus: b, Dir: t.TempDir() + "/gone"})
	if err != nil {
		t.Fatal(err)
	}
	w := newWriter(t, s, logs.Limits{StreamBytes: 2000, Ends: true})
	raw := bytes.ReplaceAll(noise(1500), []byte{'\n'}, []byte{' '})
	write(t, w.Stdout(), raw)
	if sum := closeWriter(t, w); sum.Stdout != (logs.StreamSummary{Written: 1500, Dropped: 500}) || w.Excess() != nil {
		t.Errorf("%+v, %v", sum, w.Excess())
	}
	equal(t, read(t, s, stdout(0)), append(slices.Clip(raw[:1000]), "\n[attune: truncated, 500 bytes not kept]\n"...))
}
