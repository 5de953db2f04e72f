package mask_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/mask"
)

// commanded gives what passes and what is logged of a text that comes in pieces of so many bytes.
func commanded(t *testing.T, m *mask.Masker, added *mask.Added, text string, piece int) (passed, logged string) {
	t.Helper()
	var out, log bytes.Buffer
	shown := m.Writer(&log)
	w := m.Commands(io.MultiWriter(&out, shown), shown, added)
	for text != "" {
		n := min(piece, len(text))
		if _, err := io.WriteString(w, text[:n]); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	for _, c := range []io.Closer{w, shown} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String(), log.String()
}

func TestALineAddsAValue(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", mask.MaxAddedValue+1)
	cases := []struct{ name, in, passed, logged string }{
		{"no command", "a\n:b\n::add\n", "a\n:b\n::add\n", "a\n:b\n::add\n"},
		{"a value", "derived\n::add-mask::derived\nderived!\n", "derived\nderived!\n", "derived\n::add-mask::***\n***!\n"},
		{"at the very beginning", "::add-mask::derived\nderived", "derived", "::add-mask::***\n***"},
		{"without a line end", "x\n::add-mask::derived", "x\n", "x\n::add-mask::***\n"},
		{"two in a row", "::add-mask::derived\n::add-mask::another\nanother derived\n", "another derived\n", "::add-mask::***\n::add-mask::***\n*** ***\n"},
		{"the line end of Windows", "::add-mask::derived\r\nderived\n", "derived\n", "::add-mask::***\n***\n"},
		{"not at the beginning of a line", "see ::add-mask::derived\nderived\n", "see ::add-mask::derived\nderived\n", "see ::add-mask::derived\nderived\n"},
		{"a value that is too short", "::add-mask::abc\nabc\n", "abc\n", "::add-mask::[attune: shorter than 4 bytes, not masked]\nabc\n"},
		{"a value that is too long", "::add-mask::" + long + "\nabc\n", "abc\n", "::add-mask::[attune: longer than 65536 bytes, not masked]\nabc\n"},
		{"the end of a beginning", "x\n::add-m", "x\n::add-m", "x\n::add-m"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, piece := range []int{1, 2, 3, 7, 13, 1 << 20} {
				passed, logged := commanded(t, mask.New(), &mask.Added{}, c.in, piece)
				if passed != c.passed {
					t.Errorf("in pieces of %d: %.200q passed, want %.200q", piece, passed, c.passed)
				}
				if logged != c.logged {
					t.Errorf("in pieces of %d: %.200q is logged, want %.200q", piece, logged, c.logged)
				}
			}
		})
	}
}

func TestHowManyValuesAProgramAddsIsBounded(t *testing.T) {
	t.Parallel()
	var in strings.Builder
	for i := range mask.MaxAdded + 2 {
		fmt.Fprintf(&in, "%s%08d\n", mask.Command, i)
	}
	m, added := mask.New(), &mask.Added{}
	_, logged := commanded(t, m, added, in.String(), 100)
	if n := strings.Count(logged, "more than 100 values"); n != 2 {
		t.Errorf("%d are told that they are too many, want 2", n)
	}
	if m.String("00000099") != "***" || m.String("00000100") != "00000100" {
		t.Error("the last that was taken is not masked, or one more")
	}
}

func FuzzCommands(f *testing.F) {
	f.Add("x\n::add-mask::derived\nderived\n", uint8(3))
	f.Add("::add-mask::\n\n::add-mask::a\n::add-mask", uint8(1))
	f.Fuzz(func(t *testing.T, text string, piece uint8) {
		if len(text) > 1<<12 {
			return
		}
		var want strings.Builder
		for line := range strings.SplitAfterSeq(text, "\n") {
			if !strings.HasPrefix(line, mask.Command) {
				want.WriteString(line)
			}
		}
		var out bytes.Buffer
		w := mask.New().Commands(&out, io.Discard, &mask.Added{})
		for rest := text; rest != ""; {
			n := min(1+int(piece), len(rest))
			_, _ = io.WriteString(w, rest[:n])
			rest = rest[n:]
		}
		_ = w.Close()
		if out.String() != want.String() {
			t.Errorf("%q became %q, want %q", text, out.String(), want.String())
		}
	})
}
