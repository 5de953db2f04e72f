package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/mask"
)

// naive masks by looking for each pattern at each place.
func naive(patterns []string, text string) string {
	masked := make([]bool, len(text))
	hide := func(from, to int) {
		for i := from; i < to; i++ {
			masked[i] = true
		}
	}
	for _, p := range patterns {
		for i := 0; i+len(p) <= len(text); i++ {
			if text[i:i+len(p)] == p {
				hide(i, i+len(p))
			}
		}
		for n := min(len(p)-1, len(text)); n >= mask.MinCut; n-- {
			if strings.HasSuffix(text, p[:n]) {
				hide(len(text)-n, len(text))
				break
			}
		}
	}
	var out strings.Builder
	for i := range len(text) {
		switch {
		case !masked[i]:
			out.WriteByte(text[i])
		case i == 0 || !masked[i-1]:
			out.WriteString(mask.Replacement)
		}
	}
	return out.String()
}

// written masks a text that comes in pieces of these lengths, over and over.
func written(t *testing.T, m *mask.Masker, text string, cuts []byte) string {
	t.Helper()
	var out bytes.Buffer
	w := m.Writer(&out)
	for i := 0; text != ""; i++ {
		n := len(text)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)]))
		}
		if i > 1<<12 {
			n = len(text)
		}
		if _, err := w.Write([]byte(text[:n])); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// dense is a text of few letters, so that patterns and their beginnings are everywhere.
func dense(r *rand.Rand, letters, length int) string {
	b := make([]byte, length)
	for i := range b {
		b[i] = 'a' + byte(r.IntN(letters))
	}
	return string(b)
}

func TestTheWriterDoesWhatTheModelDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var patterns []string
		for range 1 + r.IntN(6) {
			p := dense(r, 1+r.IntN(3), mask.MinValue+r.IntN(20))
			patterns = append(patterns, p)
		}
		text := dense(r, 1+r.IntN(3), r.IntN(300))
		cuts := make([]byte, r.IntN(4))
		for i := range cuts {
			cuts[i] = byte(r.IntN(12))
		}
		m := mask.Patterns(patterns...)
		want := naive(patterns, text)
		if got := written(t, m, text, cuts); got != want {
			t.Fatalf("seed %d: %q in %q by %v became\n%q, want\n%q", seed, patterns, text, cuts, got, want)
		}
	}
}

func FuzzWriter(f *testing.F) {
	f.Add("s3cret", "another one", "here is s3cret and another one", []byte{1, 2, 3})
	f.Add("abcd", "abcdefgh", "abcdabcdefghabcdefg", []byte{})
	f.Add("-----BEGIN-----\nabcdefgh\nx\n-----END-----", `{"a":"bcdefghi"}`, "bcdefghi abcdefgh", []byte{7})
	f.Add("a/b+c=d e", "\xff\x00ü\u2028", "a%2Fb%2Bc%3Dd+e", []byte{5, 0, 1})
	f.Fuzz(func(t *testing.T, one, two, text string, cuts []byte) {
		if len(text) > 4<<10 || len(one)+len(two) > 1<<10 {
			return
		}
		m := mask.New(one, two)
		for _, secret := range []string{one, two} {
			text += secret + hex.EncodeToString([]byte(secret)) + base64.StdEncoding.EncodeToString([]byte("ab"+secret)) + url.QueryEscape(secret)
		}
		want := text
		if forms := m.Forms(); len(forms) > 0 {
			want = naive(forms, text)
		}
		got := written(t, m, text, cuts)
		if got != want || got != m.String(text) {
			t.Errorf("%q and %q in %q by %v became\n%q, want\n%q", one, two, text, cuts, got, want)
		}
		for _, secret := range []string{one, two} {
			secret = strings.TrimSpace(secret)
			if len(secret) >= mask.MinValue && !strings.ContainsAny(secret, "*") && strings.Contains(got, secret) {
				t.Errorf("%q is still in %q", secret, got)
			}
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add("s3cret", `{"a":"s3cret","s3cret":[1,"\u0073\u0033cret"]}`)
	f.Add("1234", `[1234,-12345e6,"1234"]`)
	f.Add(`a"b\`, `{"a\"b\\":{"a\"b\\":1,"***":2}}`)
	f.Fuzz(func(t *testing.T, secret, text string) {
		if len(text) > 4<<10 || len(secret) > 256 {
			return
		}
		m := mask.New(secret)
		got, changed := m.JSON([]byte(text))
		if !changed {
			if string(got) != text {
				t.Errorf("%q became %q and was not changed", text, got)
			}
			return
		}
		var v any
		if err := json.Unmarshal(got, &v); err != nil {
			t.Fatalf("%q became %q: %v", text, got, err)
		}
		secret = strings.TrimSpace(secret)
		if holds(v, secret) && !strings.Contains(secret, "*") {
			t.Errorf("%q is still in %s", secret, got)
		}
	})
}

func holds(v any, secret string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, secret)
	case []any:
		for _, one := range v {
			if holds(one, secret) {
				return true
			}
		}
	case map[string]any:
		for key, one := range v {
			if strings.Contains(key, secret) || holds(one, secret) {
				return true
			}
		}
	}
	return false
}
