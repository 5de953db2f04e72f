package logs_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
)

func copied(t testing.TB, s *logs.Store, size int64) ([]byte, []logs.Span) {
	t.Helper()
	var out bytes.Buffer
	missing, err := s.Copy(t.Context(), &out, id, logs.Stdout, size)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), missing
}

func TestACopyHasExactlyTheWantedSize(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	raw := noise(3 * logs.MinSegmentBytes)
	write(t, w.Stdout(), raw)
	closeWriter(t, w)
	end, err := s.Size(t.Context(), id, logs.Stdout)
	if err != nil || end != int64(len(raw)) {
		t.Fatalf("size %d, %v", end, err)
	}
	for _, size := range []int64{0, 1, 70_000, end} {
		got, missing := copied(t, s, size)
		equal(t, got, raw[:size])
		if missing != nil {
			t.Errorf("of %d bytes are missing %v", size, missing)
		}
	}
	const more = 200_000
	got, missing := copied(t, s, end+more)
	equal(t, got[:end], raw)
	line := "[attune: bytes 196608 to 396607 are missing]"
	if string(got[end:]) != line+strings.Repeat(" ", more-len(line)-1)+"\n" || !cmp.Equal(missing, []logs.Span{{Offset: end, Bytes: more}}) {
		t.Errorf("behind the end %.100q, missing %v", got[end:], missing)
	}
}

func TestACopyIsAsLongAsWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	publish(t, b, 0, "abc", false)
	publish(t, b, 10, "klm", false)
	publish(t, b, 100, "xyz", true)
	got, missing := copied(t, s, 103)
	rest := "[attune: bytes 13 to 99 are missing]"
	equal(t, got, []byte("abc[attuneklm"+rest+strings.Repeat(" ", 87-len(rest)-1)+"\nxyz"))
	if want := []logs.Span{{Offset: 3, Bytes: 7}, {Offset: 13, Bytes: 87}}; !cmp.Equal(missing, want) {
		t.Errorf("missing %v, want %v", missing, want)
	}
	if got, missing := copied(t, s, 5); string(got) != "abc[a" || !cmp.Equal(missing, []logs.Span{{Offset: 3, Bytes: 2}}) {
		t.Errorf("the beginning %q, missing %v", got, missing)
	}
	r, w := io.Pipe()
	_ = r.CloseWithError(io.ErrClosedPipe) // it never fails
	if _, err := s.Copy(t.Context(), w, id, logs.Stdout, 103); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a writer that fails: %v", err)
	}
}

func TestWhatIsKnownOfALogThatIsNotComplete(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s := open(t, b)
	if m, err := s.Known(t.Context(), id); err != nil || m.Complete || m.Execution != id || m.Streams[logs.Stdout].Bytes != 0 {
		t.Errorf("of nothing: %+v, %v", m, err)
	}
	w := newWriter(t, s, logs.Limits{SegmentBytes: logs.MinSegmentBytes})
	write(t, w.Stdout(), noise(logs.MinSegmentBytes))
	awaitSegments(t, s, 1)
	if m, err := s.Known(t.Context(), id); err != nil || m.Complete || m.Streams[logs.Stdout].Bytes != logs.MinSegmentBytes {
		t.Errorf("of a log that grows: %+v, %v", m, err)
	}
	closeWriter(t, w)
	if m, err := s.Known(t.Context(), id); err != nil || !m.Complete {
		t.Errorf("of a complete log: %+v, %v", m, err)
	}
	if _, err := s.Known(t.Context(), "../x.y"); !errors.Is(err, logs.ErrBadRequest) {
		t.Errorf("of no execution: %v", err)
	}
}
