package forward

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// brief is a record as tests write it: an offset, the text, and "+" behind it where the line goes on.
type brief struct {
	Offset int64
	Text   string
}

func briefs(records []Record) (out []brief) {
	for _, r := range records {
		text := string(r.Text)
		if r.Partial {
			text += "+"
		}
		out = append(out, brief{r.Offset, text})
	}
	return out
}

func piece(offset int64, data string) chunk {
	return chunk{log: "a", stream: "stdout", seq: 1 + uint64(offset), offset: offset, data: []byte(data), time: epoch}
}

func end(offset int64, data string) chunk {
	c := piece(offset, data)
	c.last = true
	return c
}

func TestChunksBecomeLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine)
	cases := map[string]struct {
		chunks []chunk
		want   []brief
	}{
		"whole lines":                  {[]chunk{piece(0, "one\n\ntwo\n")}, []brief{{0, "one"}, {4, ""}, {5, "two"}}},
		"a line in three chunks":       {[]chunk{piece(0, "o"), piece(1, "n"), piece(2, "e\ntwo")}, []brief{{0, "one"}}},
		"the end ends a line":          {[]chunk{piece(0, "one\ntwo"), end(7, "")}, []brief{{0, "one"}, {4, "two"}}},
		"a repeated chunk":             {[]chunk{piece(0, "one\n"), piece(0, "one\n"), piece(4, "two\n")}, []brief{{0, "one"}, {4, "two"}}},
		"chunks that overlap":          {[]chunk{piece(0, "one\n"), piece(2, "e\ntwo\n")}, []brief{{0, "one"}, {4, "two"}}},
		"a gap":                        {[]chunk{piece(0, "on"), piece(8, "three\n")}, []brief{{0, "on+"}, {8, "three"}}},
		"a line as long as may be":     {[]chunk{piece(0, long), piece(maxLine, "\n")}, []brief{{0, long}}},
		"the same in one chunk":        {[]chunk{piece(0, long+"\n")}, []brief{{0, long}}},
		"a longer line":                {[]chunk{piece(0, long), piece(maxLine, "yz\n")}, []brief{{0, long + "+"}, {maxLine, "yz"}}},
		"a character across the limit": {[]chunk{piece(0, long[1:]+"é\n")}, []brief{{0, long[1:] + "+"}, {maxLine - 1, "é"}}},
		"a long line ends with it all": {[]chunk{end(0, long+"y")}, []brief{{0, long + "+"}, {maxLine, "y"}}},
		"no UTF-8":                     {[]chunk{piece(0, "\xff\x00\n")}, []brief{{0, "\xff\x00"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLines()
			var got []brief
			for _, c := range c.chunks {
				got = append(got, briefs(l.add(c, epoch))...)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARestIsGivenWhenItWasHeldForLongEnough(t *testing.T) {
	t.Parallel()
	l := newLines()
	l.add(piece(0, "one\ntw"), epoch)
	if got := l.due(epoch.Add(holdRest - 1)); len(got) > 0 || l.floor() != 1 {
		t.Errorf("too early: %v, floor %d", briefs(got), l.floor())
	}
	got := briefs(l.due(epoch.Add(holdRest)))
	got = append(got, briefs(l.add(piece(6, "o\n"), epoch))...)
	if diff := cmp.Diff([]brief{{4, "tw+"}, {6, "o"}}, got); diff != "" || l.floor() != 0 || l.held != 0 {
		t.Errorf("floor %d, held %d, %s", l.floor(), l.held, diff)
	}
	if l.due(epoch.Add(maxIdle)); len(l.streams) > 0 {
		t.Errorf("%d streams are remembered", len(l.streams))
	}
}

func TestRestsAreBoundedTogether(t *testing.T) {
	t.Parallel()
	l := newLines()
	for n := 0; l.held <= maxHeld; n++ {
		c := piece(0, strings.Repeat("x", maxLine))
		c.log = strings.Repeat("a", n+1)
		l.add(c, epoch)
	}
	if l.due(epoch); l.held != 0 {
		t.Errorf("%d bytes are held", l.held)
	}
}

// Whatever is written, in whatever chunks: the records are all of it, in order.
func TestNoByteIsLostBetweenChunks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, now := newLines(), epoch
		words := rapid.SampledFrom([]string{"", "\n", "é", "日本", "\xe6", "x", "\n\n", strings.Repeat("日", maxLine/2), strings.Repeat("z", maxLine-1), strings.Repeat("y", maxLine+1)})
		var wrote, got []byte
		check := func(records []Record) {
			for _, r := range records {
				if r.Offset != int64(len(got)) {
					t.Fatalf("offset %d after %d bytes", r.Offset, len(got))
				}
				if len(r.Text) > maxLine || bytes.IndexByte(r.Text, '\n') >= 0 {
					t.Fatalf("a record of %d bytes", len(r.Text))
				}
				if got = append(got, r.Text...); !r.Partial && len(got) < len(wrote) {
					got = append(got, '\n')
				}
			}
		}
		for range rapid.IntRange(1, 5).Draw(t, "chunks") {
			data := words.Draw(t, "first") + words.Draw(t, "second")
			c := piece(int64(len(wrote)), data)
			wrote = append(wrote, data...)
			check(l.add(c, now))
			if rapid.Bool().Draw(t, "slow") {
				now = now.Add(holdRest)
				check(l.due(now))
			}
		}
		check(l.add(end(int64(len(wrote)), ""), now))
		if !bytes.Equal(got, wrote) || l.held != 0 {
			t.Fatalf("%d bytes of %d, %d held", len(got), len(wrote), l.held)
		}
	})
}

func TestPiecesOfTextAreText(t *testing.T) {
	t.Parallel()
	l := newLines()
	records := l.add(end(0, strings.Repeat("日", maxLine)), epoch)
	for _, r := range records {
		if !utf8.Valid(r.Text) {
			t.Errorf("at %d: no UTF-8", r.Offset)
		}
	}
	if len(records) != 4 {
		t.Errorf("%d records", len(records))
	}
}
