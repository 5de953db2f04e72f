package logs_test

import (
	"context"
	"slices"
	"testing"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

func continued(t testing.TB, s *logs.Store, l logs.Limits) *logs.Writer {
	t.Helper()
	w, err := s.Continue(t.Context(), id, logs.Source{}, l)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func suspend(t testing.TB, w *logs.Writer) {
	t.Helper()
	if _, err := w.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The attempts of an execution write one log, whatever each of them writes; a follower from the beginning sees all of
// it, and ends when the execution has ended.
func TestTheAttemptsOfAnExecutionWriteOneLog(t *testing.T) {
	t.Parallel()
	limits := logs.Limits{SegmentBytes: logs.MinSegmentBytes}
	little, much := []byte("a few words\n"), noise(3*logs.MinSegmentBytes+100)
	for name, attempts := range map[string][][]byte{
		"little each":        {little, little, little},
		"much each":          {much, much},
		"little, then much":  {little, much},
		"much, then little":  {much, little},
		"nothing at first":   {nil, little},
		"nothing at last":    {little, nil},
		"nothing in between": {much, nil, much},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := natstest.New(t)
			s := open(t, b)
			end := startExecution(t, b)
			done := follow(t, s, stdout(0))
			var want []byte
			w := newWriter(t, s, limits)
			for i, output := range attempts {
				if i > 0 {
					suspend(t, w)
					equal(t, read(t, s, stdout(0)), want)
					w = continued(t, s, limits)
				}
				write(t, w.Stdout(), output)
				want = append(slices.Clip(want), output...)
			}
			closeWriter(t, w)
			end(streams.Succeeded, &streams.Output{StdoutBytes: int64(len(want))})
			equal(t, await(t, done), want)
			equal(t, read(t, s, stdout(0)), want)
			equal(t, read(t, s, stdout(5)), want[5:])
			if m, err := s.Manifest(t.Context(), id); err != nil || !m.Complete || m.Streams[logs.Stdout].Bytes != int64(len(want)) {
				t.Errorf("manifest %+v, %v", m, err)
			}
		})
	}
}

// What an attempt published before its runner died, and nobody stored, is stored by the next.
func TestTheNextAttemptKeepsWhatADeadOneLeft(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	limits := logs.Limits{SegmentBytes: logs.MinSegmentBytes}
	begun := noise(2*logs.MinSegmentBytes + 1000)
	dead := newWriter(t, s, limits)
	write(t, dead.Stdout(), begun)
	awaitLive(t, s, int64(len(begun)))
	awaitSegments(t, s, 2)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dead.Close(gone); err == nil {
		t.Fatal("it could still store its log")
	}
	w := continued(t, s, limits)
	write(t, w.Stdout(), []byte("and again\n"))
	closeWriter(t, w)
	live, err := b.JS.Stream(t.Context(), streams.Logs)
	if err == nil {
		err = live.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	equal(t, read(t, s, stdout(0)), append(slices.Clip(begun), "and again\n"...))
}
