package logs

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var allowMark = cmp.AllowUnexported(mark{})

func TestMarksAreBoundedAndReachOverTheWholeSegment(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for _, calls := range []int{0, 1, 2, 255, 256, 257, 1000, 100_000} {
		var m marker
		for i := range calls {
			m.add(int64(i), began.Add(time.Duration(i)*time.Millisecond))
		}
		got := m.marks
		if len(got) > maxMarks || calls > 0 && len(got) < min(calls, maxMarks/2) {
			t.Errorf("%d calls: %d marks", calls, len(got))
		}
		for i, one := range got {
			if one.offset != got[min(1, i)].offset*int64(i) || !one.at.Equal(began.Add(time.Duration(one.offset)*time.Millisecond)) {
				t.Fatalf("%d calls: mark %d is %+v", calls, i, one)
			}
		}
		if n := len(got); n > 1 && int64(calls)-1-got[n-1].offset >= got[1].offset {
			t.Errorf("%d calls: the last mark is at %d, and they are %d apart", calls, got[n-1].offset, got[1].offset)
		}
	}
}

func TestMarksArePackedAndUnpacked(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 123_000, time.UTC)
	m := marks{{0, at}, {1, at}, {70_000, at.Add(-time.Hour)}, {1 << 40, at.Add(time.Hour)}}
	index := m.frame()
	got, err := parseFrame(index)
	if diff := cmp.Diff(m, got, allowMark); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for i := range index {
		for _, b := range []byte{0, 0xff, index[i] ^ 1} {
			broken := bytes.Clone(index)
			if broken[i] = b; bytes.Equal(broken, index) {
				continue
			}
			if got, err := parseFrame(broken); err == nil {
				t.Errorf("byte %d is %d: %+v", i, b, got)
			}
		}
		if got, err := parseFrame(index[:i]); err == nil {
			t.Errorf("the first %d bytes: %+v", i, got)
		}
	}
	text, err := json.Marshal(m)
	var read marks
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if diff := cmp.Diff(m, read, allowMark); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if err := json.Unmarshal([]byte(`"AAAA"`), &read); err != nil || read != nil {
		t.Errorf("damaged marks: %+v, %v", read, err)
	}
}

func FuzzUnpackMarks(f *testing.F) {
	f.Add(marks{{0, time.Unix(1, 0)}, {5, time.Unix(2, 0)}}.pack())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := unpackMarks(b)
		if err != nil {
			return
		}
		for i := 1; i < len(m); i++ {
			if m[i].offset < m[i-1].offset {
				t.Errorf("mark %d is before mark %d", i, i-1)
			}
		}
	})
}
